//! The tree, read once: each file with its room, its words, and the lines that are test code.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::tokens::{self, Words};

#[derive(Debug)]
pub struct Source {
    /// From the root of the crate, with `/`.
    pub file: String,
    /// `domain` for all of src/domain and src/domain.rs, `lib`, `main`, `migrations`, `tests`.
    pub room: String,
    pub lines: usize,
    pub first_line: String,
    /// All of it is test code: in tests/, or declared under `#[cfg(test)]`.
    pub test: bool,
    pub words: Words,
    test_lines: Vec<RangeInclusive<usize>>,
    children: Vec<Child>,
}

/// `mod x;`: the files that may hold it, and whether only tests see it.
#[derive(Debug)]
struct Child {
    files: [String; 2],
    line: usize,
}

impl Source {
    pub fn read(file: &str, text: &str) -> Source {
        let syntax = syn::parse_file(text).unwrap_or_else(|fault| panic!("{file}: {fault}"));
        let mut seen = Seen::new(file);
        seen.visit_file(&syntax);
        let mut parts = file.trim_end_matches(".rs").split('/');
        let top = parts.next().unwrap_or_default();
        let room = if top == "src" {
            parts.next().unwrap_or_default()
        } else {
            top
        };
        Source {
            file: file.to_owned(),
            room: room.to_owned(),
            lines: text.lines().count(),
            first_line: text.lines().next().unwrap_or_default().to_owned(),
            test: top == "tests" || only_in_tests(&syntax.attrs),
            words: tokens::read(text, &module_of(file)),
            test_lines: seen.test_lines,
            children: seen.children,
        }
    }

    pub fn is_test(&self, line: usize) -> bool {
        self.test || self.test_lines.iter().any(|range| range.contains(&line))
    }

    pub fn finding(&self, line: usize, rule: &str) -> String {
        format!("{}:{line}: {rule}", self.file)
    }
}

/// A file declared by test code is test code, and so are the files that it declares.
pub fn mark_tests(sources: &mut [Source]) {
    loop {
        let of_tests: BTreeSet<String> = sources
            .iter()
            .flat_map(|source| {
                source
                    .children
                    .iter()
                    .filter(|child| source.is_test(child.line))
            })
            .flat_map(|child| child.files.clone())
            .collect();
        let before = sources.iter().filter(|source| source.test).count();
        for source in sources.iter_mut() {
            source.test |= of_tests.contains(&source.file);
        }
        if sources.iter().filter(|source| source.test).count() == before {
            return;
        }
    }
}

pub fn read_tree(root: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    for top in ["src", "migrations", "tests"] {
        rust_files(root, top, &mut files);
    }
    let mut sources: Vec<Source> = files
        .iter()
        .map(|file| {
            Source::read(
                file,
                &fs::read_to_string(root.join(file)).expect("a readable file"),
            )
        })
        .collect();
    mark_tests(&mut sources);
    sources
}

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a readable folder")
        .map(|entry| {
            entry
                .expect("a readable entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

fn rust_files(root: &Path, folder: &str, files: &mut Vec<String>) {
    for name in names(&root.join(folder)) {
        let path = format!("{folder}/{name}");
        if root.join(&path).is_dir() {
            rust_files(root, &path, files);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

fn module_of(file: &str) -> Vec<String> {
    let mut parts: Vec<String> = file
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if parts.first().is_some_and(|top| top == "src") {
        parts.remove(0);
    }
    if parts
        .last()
        .is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main"))
    {
        parts.pop();
    }
    parts
}

/// `cfg(test)`, `cfg(all(test, ..))`, `#[test]` and its kin such as `#[tokio::test]`.
fn only_in_tests(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,")
        }
        meta => {
            let last = meta.path().segments.last();
            last.is_some_and(|last| last.ident == "test")
        }
    })
}

struct Seen {
    /// Where a `#[path]` of this file starts from, and where a plain `mod x;` looks.
    beside: String,
    below: String,
    test_lines: Vec<RangeInclusive<usize>>,
    children: Vec<Child>,
}

impl Seen {
    fn new(file: &str) -> Seen {
        let (beside, name) = file.rsplit_once('/').unwrap_or(("", file));
        let below = match name {
            "mod.rs" | "lib.rs" | "main.rs" => beside.to_owned(),
            _ => file.trim_end_matches(".rs").to_owned(),
        };
        Seen {
            beside: beside.to_owned(),
            below,
            test_lines: Vec::new(),
            children: Vec::new(),
        }
    }

    fn note(&mut self, attrs: &[syn::Attribute], all: &impl Spanned) {
        if only_in_tests(attrs) {
            let span = all.span();
            self.test_lines.push(span.start().line..=span.end().line);
        }
    }
}

impl<'ast> Visit<'ast> for Seen {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.note(&item.attrs, item);
        if item.content.is_none() {
            let path = item.attrs.iter().find_map(|attr| match &attr.meta {
                syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
                    syn::Expr::Lit(syn::ExprLit {
                        lit: syn::Lit::Str(path),
                        ..
                    }) => Some(path.value()),
                    _ => None,
                },
                _ => None,
            });
            let files = match path {
                Some(path) => [format!("{}/{path}", self.beside), String::new()],
                None => [
                    format!("{}/{}.rs", self.below, item.ident),
                    format!("{}/{}/mod.rs", self.below, item.ident),
                ],
            };
            self.children.push(Child {
                files,
                line: item.span().start().line,
            });
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.note(&item.attrs, item);
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.note(&item.attrs, item);
        visit::visit_item_impl(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.note(&item.attrs, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.note(&item.attrs, item);
        visit::visit_impl_item_fn(self, item);
    }
}
