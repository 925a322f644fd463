//! Nothing is left half done, nothing gives up with a panic, and every file says what it is for.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ExprMethodCall, ImplItemFn, ItemFn, ItemImpl, ItemMod};

use crate::finding::Finding;
use crate::house::{House, is_cfg_test, is_test_function};

/// Start-up may give up with a panic: nobody is waiting yet.
const START_UP: &str = "src/main.rs";

const UNFINISHED: [&str; 2] = ["todo", "unimplemented"];
const PANICKING: [&str; 4] = ["unwrap", "expect", "unwrap_err", "expect_err"];

pub fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in house
        .sources
        .iter()
        .filter(|source| !source.path.starts_with("tests/"))
    {
        let opening = source.text.lines().next().unwrap_or_default();
        if !opening.starts_with("//! ") && source.path.starts_with("src/") {
            let what = "the first line says with `//!` what the file is for";
            findings.push(Finding::new(&source.path, 1, "opening", what));
        }
        if !source.is_test {
            let mut reader = Reader {
                path: &source.path,
                is_test: false,
                findings: &mut findings,
            };
            reader.visit_file(&source.syntax);
        }
    }
    findings
}

struct Reader<'a> {
    path: &'a str,
    is_test: bool,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn within(&mut self, attrs: &[Attribute], walk: impl FnOnce(&mut Self)) {
        let before = self.is_test;
        self.is_test |= is_cfg_test(attrs) || is_test_function(attrs);
        walk(self);
        self.is_test = before;
    }

    fn found(&mut self, span: proc_macro2::Span, rule: &'static str, what: String) {
        if !self.is_test {
            self.findings
                .push(Finding::new(self.path, span.start().line, rule, what));
        }
    }

    fn panics(&mut self, name: &syn::Ident) {
        if PANICKING.iter().any(|known| name == known) && self.path != START_UP {
            self.found(name.span(), "panic", format!("`{name}` outside of tests"));
        }
    }

    /// `.unwrap(..)` and `todo!` in tokens that nobody parses.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            let before = at.checked_sub(1).map(|before| tokens[before].to_string());
            let next = tokens.get(at + 1);
            let called = matches!(next, Some(TokenTree::Group(_)));
            let bang = next.is_some_and(|next| next.to_string() == "!");
            match token {
                TokenTree::Ident(name) if called && before.as_deref() == Some(".") => {
                    self.panics(name)
                }
                TokenTree::Ident(name) if bang => self.unfinished(name),
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    fn unfinished(&mut self, name: &syn::Ident) {
        if UNFINISHED.iter().any(|known| name == known) {
            self.found(name.span(), "unfinished", format!("`{name}!`"));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.within(&item.attrs, |reader| visit::visit_item_mod(reader, item));
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        self.within(&item.attrs, |reader| visit::visit_item_impl(reader, item));
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.within(&item.attrs, |reader| visit::visit_item_fn(reader, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.within(&item.attrs, |reader| {
            visit::visit_impl_item_fn(reader, item)
        });
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.panics(&call.method);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        if let Some(last) = invoked.path.segments.last() {
            self.unfinished(&last.ident);
        }
        self.scan(invoked.tokens.clone());
    }
}
