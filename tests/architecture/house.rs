//! The house as the checker sees it: every source file, in which room it stands, and whether it is test code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Expr, ExprLit, Item, ItemMod, Lit, Meta};

use crate::finding::Finding;

/// One source file, parsed. `module` is its path from the crate root: `["http", "routes"]`.
pub struct Source {
    pub path: String,
    pub text: String,
    pub syntax: syn::File,
    pub module: Vec<String>,
    /// Declared under `#[cfg(test)]`, or an integration test.
    pub is_test: bool,
}

impl Source {
    /// The first folder under `src`, or the file that stands for it; `migrations` for what stands there.
    pub fn room(&self) -> &str {
        match self.path.split('/').next() {
            Some("migrations") => "migrations",
            Some("src") if self.path == "src/main.rs" => "main",
            _ => self.module.first().map_or("lib", String::as_str),
        }
    }
}

pub struct House {
    pub sources: Vec<Source>,
    /// Names at the top level that git does not ignore.
    pub top: Vec<String>,
    /// Third-party crates, as a path in the code spells them.
    pub crates: BTreeSet<String>,
    pub findings: Vec<Finding>,
}

impl House {
    pub fn read(root: &Path) -> House {
        let mut files = BTreeMap::new();
        for folder in ["src", "tests", "migrations"] {
            collect(root, folder, &mut files);
        }
        let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let top = names.filter(|name| !is_ignored(&ignored, name)).collect();
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
        House::new(files, top, &manifest)
    }

    pub fn new(files: BTreeMap<String, String>, top: Vec<String>, manifest: &str) -> House {
        let mut house = House {
            sources: Vec::new(),
            top,
            crates: dependencies(manifest),
            findings: Vec::new(),
        };
        let mut waiting = BTreeMap::new();
        for (path, text) in files {
            match syn::parse_file(&text) {
                Ok(syntax) => {
                    waiting.insert(path, (text, syntax));
                }
                Err(error) => {
                    let line = error.span().start().line;
                    house
                        .findings
                        .push(Finding::new(&path, line, "syntax", error.to_string()));
                }
            }
        }
        for root in ["src/lib.rs", "src/main.rs"] {
            house.enter(root.to_owned(), Vec::new(), false, &mut waiting);
        }
        for (path, (text, syntax)) in waiting {
            if path.starts_with("src/") {
                let what = "no module declares it";
                house.findings.push(Finding::new(&path, 1, "orphan", what));
            }
            let module = path.split('/').map(str::to_owned).collect();
            let is_test = path.starts_with("tests/");
            house.sources.push(Source {
                path,
                text,
                syntax,
                module,
                is_test,
            });
        }
        house
    }

    /// Follows `mod x;` from file to file, so that `#[cfg(test)]` and the module path come along.
    fn enter(&mut self, path: String, module: Vec<String>, is_test: bool, waiting: &mut Waiting) {
        let Some((text, syntax)) = waiting.remove(&path) else {
            return;
        };
        let mut children = Vec::new();
        let own = own_folder(&path);
        declared(&syntax.items, &path, &own, &module, is_test, &mut children);
        self.sources.push(Source {
            path,
            text,
            syntax,
            module,
            is_test,
        });
        for child in children {
            let found = child.paths.iter().find(|path| waiting.contains_key(*path));
            if let Some(found) = found.cloned() {
                self.enter(found, child.module, child.is_test, waiting);
            }
        }
    }
}

type Waiting = BTreeMap<String, (String, syn::File)>;

struct Child {
    /// Where its file may be.
    paths: Vec<String>,
    module: Vec<String>,
    is_test: bool,
}

fn declared(
    items: &[Item],
    file: &str,
    folder: &str,
    module: &[String],
    is_test: bool,
    children: &mut Vec<Child>,
) {
    for item in items {
        let Item::Mod(ItemMod {
            attrs,
            ident,
            content,
            ..
        }) = item
        else {
            continue;
        };
        let name = ident.to_string();
        let is_test = is_test || is_cfg_test(attrs);
        let module = [module, std::slice::from_ref(&name)].concat();
        let inside = format!("{folder}/{name}");
        match (content, path_attribute(attrs)) {
            (Some((_, items)), _) => declared(items, file, &inside, &module, is_test, children),
            (None, Some(path)) => {
                let beside = file.rsplit_once('/').map_or("", |(folder, _)| folder);
                let paths = vec![normal(&format!("{beside}/{path}"))];
                children.push(Child {
                    paths,
                    module,
                    is_test,
                });
            }
            (None, None) => {
                let paths = vec![format!("{inside}.rs"), format!("{inside}/mod.rs")];
                children.push(Child {
                    paths,
                    module,
                    is_test,
                });
            }
        }
    }
}

/// The folder in which a file's modules live.
fn own_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        file => format!("{folder}/{}", file.trim_end_matches(".rs")),
    }
}

fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn path_attribute(attrs: &[Attribute]) -> Option<String> {
    attrs.iter().find_map(|attr| match &attr.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

pub fn is_cfg_test(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| {
        let only_test = |list: &syn::MetaList| needs_test(list.tokens.clone());
        attr.path().is_ident("cfg") && attr.meta.require_list().is_ok_and(only_test)
    })
}

/// `test`, or `all(..)` with `test` among its parts.
fn needs_test(condition: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = condition.into_iter().collect();
    match &tokens[..] {
        [TokenTree::Ident(name)] => name == "test",
        [TokenTree::Ident(name), TokenTree::Group(parts)] if name == "all" => {
            let parts: Vec<TokenTree> = parts.stream().into_iter().collect();
            let comma = |token: &TokenTree| token.to_string() == ",";
            parts
                .split(comma)
                .any(|part| needs_test(part.iter().cloned().collect()))
        }
        _ => false,
    }
}

/// `#[test]`, `#[tokio::test]`, `#[actix_web::test]`.
pub fn is_test_function(attrs: &[Attribute]) -> bool {
    let last = |attr: &Attribute| {
        attr.path()
            .segments
            .last()
            .map(|last| last.ident.to_string())
    };
    attrs
        .iter()
        .any(|attr| last(attr).as_deref() == Some("test"))
}

/// What `[dependencies]` and its sisters name.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']']).ends_with("dependencies");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside) {
            let name = name.split('.').next().unwrap_or(name);
            names.insert(name.trim().replace('-', "_"));
        }
    }
    names
}

fn is_ignored(rules: &str, name: &str) -> bool {
    rules
        .lines()
        .map(|rule| rule.trim().trim_matches('/'))
        .filter(|rule| !rule.is_empty())
        .any(|rule| match rule.split_once('*') {
            None => rule == name,
            Some((head, tail)) => {
                name.len() >= head.len() + tail.len()
                    && name.starts_with(head)
                    && name.ends_with(tail)
            }
        })
}

fn collect(root: &Path, folder: &str, files: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(root.join(folder)) else {
        return;
    };
    for entry in entries.flatten() {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(root, &path, files);
        } else if path.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            files.insert(path, text);
        }
    }
}
