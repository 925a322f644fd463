//! The domain is pure: no async, no clock, no I/O, no chance.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::finding::Finding;
use crate::house::{House, Source};
use crate::paths::named;

/// What a path may not lead to. A clock, a file, a thread or chance under another name is one still.
const IMPURE: [(&str, &str); 14] = [
    ("std::time::SystemTime", "a clock"),
    ("std::time::Instant", "a clock"),
    ("SystemTime::now", "a clock"),
    ("Instant::now", "a clock"),
    ("Uuid::now_v7", "a clock"),
    ("Uuid::now_v6", "a clock"),
    ("Uuid::now_v1", "a clock"),
    ("Uuid::new_v4", "chance"),
    ("std::fs", "I/O"),
    ("std::io", "I/O"),
    ("std::net", "I/O"),
    ("std::env", "I/O"),
    ("std::process", "I/O"),
    ("std::thread", "a thread"),
];

const IMPURE_MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

pub fn check(house: &House) -> Vec<Finding> {
    let of_domain = house
        .sources
        .iter()
        .filter(|source| source.room() == "domain" && !source.is_test);
    of_domain.flat_map(check_source).collect()
}

fn check_source(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in named(source).0.iter().filter(|name| !name.is_test) {
        let text = format!("{}::", name.text());
        let led = IMPURE
            .iter()
            .find(|(path, _)| text.starts_with(&format!("{path}::")));
        let printed =
            name.segments.len() == 1 && IMPURE_MACROS.contains(&name.segments[0].as_str());
        let what = match (led, printed) {
            (Some((_, what)), _) => *what,
            (None, true) => "I/O",
            (None, false) => continue,
        };
        let what = format!("`{}` is {what}", name.text());
        findings.push(Finding::new(&source.path, name.line, "pure", what));
    }
    let mut waits = Waits {
        path: &source.path,
        findings: &mut findings,
    };
    waits.visit_file(&source.syntax);
    findings
}

struct Waits<'a> {
    path: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Waits<'_> {
    fn found(&mut self, span: proc_macro2::Span, what: &str) {
        self.findings
            .push(Finding::new(self.path, span.start().line, "pure", what));
    }
}

impl<'ast> Visit<'ast> for Waits<'_> {
    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(word) = &signature.asyncness {
            self.found(word.span(), "an async fn");
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.found(block.async_token.span(), "an async block");
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_await(&mut self, wait: &'ast syn::ExprAwait) {
        self.found(wait.await_token.span(), "an await");
        visit::visit_expr_await(self, wait);
    }
}
