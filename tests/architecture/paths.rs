//! Every path that a file names: in `use`, in code, in attributes, and inside the tokens of macros.

use std::collections::BTreeSet;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, ItemFn, ItemImpl, ItemMod, ItemUse, MetaList, UseTree};

use crate::house::{Source, is_cfg_test, is_test_function};

/// A path as written, with where it starts and what surrounds it.
#[derive(Clone, Debug)]
pub struct Named {
    pub segments: Vec<String>,
    pub line: usize,
    /// The module in which it stands, from the crate root.
    pub module: Vec<String>,
    pub is_test: bool,
    pub is_use: bool,
}

impl Named {
    /// The path from the crate root, or `None` where it does not start inside the crate.
    pub fn rooted(&self) -> Option<Vec<String>> {
        let first = self.segments.first().map(String::as_str)?;
        let rest = || self.segments[1..].to_vec();
        match first {
            "crate" | "payonce" => Some(rest()),
            "self" => Some([self.module.clone(), rest()].concat()),
            "super" => {
                let ups = self
                    .segments
                    .iter()
                    .take_while(|segment| *segment == "super")
                    .count();
                let kept = self.module.len().checked_sub(ups)?;
                Some([&self.module[..kept], &self.segments[ups..]].concat())
            }
            _ => None,
        }
    }

    pub fn text(&self) -> String {
        self.segments.join("::")
    }
}

struct Reader {
    found: Vec<Named>,
    /// Names of modules and imports, which hide a crate of the same name.
    local: BTreeSet<String>,
    module: Vec<String>,
    is_test: bool,
}

/// What `source` names, and which first names are its own rather than a crate's.
pub fn named(source: &Source) -> (Vec<Named>, BTreeSet<String>) {
    let mut reader = Reader {
        found: Vec::new(),
        local: BTreeSet::new(),
        module: source.module.clone(),
        is_test: source.is_test,
    };
    reader.visit_file(&source.syntax);
    (reader.found, reader.local)
}

impl Reader {
    fn push(&mut self, segments: Vec<String>, span: Span, is_use: bool) {
        let line = span.start().line;
        let (module, is_test) = (self.module.clone(), self.is_test);
        self.found.push(Named {
            segments,
            line,
            module,
            is_test,
            is_use,
        });
    }

    fn within(&mut self, attrs: &[Attribute], walk: impl FnOnce(&mut Reader)) {
        let before = self.is_test;
        self.is_test |= is_cfg_test(attrs) || is_test_function(attrs);
        walk(self);
        self.is_test = before;
    }

    fn flatten(&mut self, tree: &UseTree, so_far: &[String]) {
        let with = |name: String| [so_far, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.flatten(&path.tree, &with(path.ident.to_string())),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.flatten(tree, so_far)),
            UseTree::Glob(glob) => self.push(with("*".into()), glob.span(), true),
            UseTree::Name(name) => {
                if !so_far.is_empty() {
                    self.local.insert(name.ident.to_string());
                }
                self.push(with(name.ident.to_string()), name.span(), true);
            }
            UseTree::Rename(renamed) => {
                self.local.insert(renamed.rename.to_string());
                self.push(with(renamed.ident.to_string()), renamed.span(), true);
            }
        }
    }

    /// Paths in tokens that nobody parses: `name :: name`, wherever it stands.
    fn scan(&mut self, tokens: TokenStream) {
        let mut segments: Vec<String> = Vec::new();
        let mut start = Span::call_site();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) if !segments.is_empty() && colons == 2 => {
                    segments.push(name.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && colons < 2 => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(name) => {
                    self.flush(&mut segments, start);
                    start = name.span();
                    segments.push(name.to_string());
                }
                TokenTree::Group(group) => {
                    self.flush(&mut segments, start);
                    self.scan(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.flush(&mut segments, start),
            }
            colons = 0;
        }
        self.flush(&mut segments, start);
    }

    fn flush(&mut self, segments: &mut Vec<String>, start: Span) {
        let segments = std::mem::take(segments);
        if segments.len() > 1 {
            self.push(segments, start, false);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.within(&item.attrs, |reader| reader.flatten(&item.tree, &[]));
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.local.insert(item.ident.to_string());
        self.module.push(item.ident.to_string());
        self.within(&item.attrs, |reader| visit::visit_item_mod(reader, item));
        self.module.pop();
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

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.push(vec![item.ident.to_string(), "*".into()], item.span(), true);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        self.push(segments, path.span(), false);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        self.visit_path(&invoked.path);
        self.scan(invoked.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        self.visit_path(&list.path);
        self.scan(list.tokens.clone());
    }
}
