//! Beauty is lost in the tail: no file and no function grows without end.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ImplItemFn, ItemFn, ItemMod, TraitItemFn};

use crate::finding::Finding;
use crate::house::{House, is_cfg_test, is_test_function};

pub const FILE_LINES: usize = 500;
pub const FUNCTION_LINES: usize = 60;
/// A test tells a story, and may take longer.
pub const TEST_LINES: usize = 80;

pub fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.sources {
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            let what = format!("{lines} lines; at most {FILE_LINES}");
            findings.push(Finding::new(
                &source.path,
                FILE_LINES + 1,
                "file length",
                what,
            ));
        }
        let is_test = source.is_test;
        let mut ruler = Ruler {
            path: &source.path,
            is_test,
            findings: &mut findings,
        };
        ruler.visit_file(&source.syntax);
    }
    findings
}

struct Ruler<'a> {
    path: &'a str,
    is_test: bool,
    findings: &'a mut Vec<Finding>,
}

impl Ruler<'_> {
    /// From the opening brace to the closing one.
    fn measure(&mut self, name: &syn::Ident, attrs: &[Attribute], body: &Block) {
        let (from, to) = (body.span().start().line, body.span().end().line);
        let lines = to + 1 - from;
        let is_test = self.is_test || is_test_function(attrs) || is_cfg_test(attrs);
        let most = if is_test { TEST_LINES } else { FUNCTION_LINES };
        if lines > most {
            let what = format!("`{name}` has {lines} lines; at most {most}");
            let line = name.span().start().line;
            self.findings
                .push(Finding::new(self.path, line, "function length", what));
        }
    }
}

impl<'ast> Visit<'ast> for Ruler<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let before = self.is_test;
        self.is_test |= is_cfg_test(&item.attrs);
        visit::visit_item_mod(self, item);
        self.is_test = before;
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.measure(&item.sig.ident, &item.attrs, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.measure(&item.sig.ident, &item.attrs, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.measure(&item.sig.ident, &item.attrs, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}
