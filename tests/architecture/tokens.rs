//! What the words of a file say: its paths, its macros, its method calls. Tokens rather than a syntax tree, so
//! that nothing hides inside a macro or an attribute.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// `a::b::c`, as written but with `self` and `super` resolved. Single names count only when imported.
#[derive(Debug)]
pub struct Mention {
    pub line: usize,
    pub path: Vec<String>,
}

/// A lone word that a rule may care about: `async`, `.unwrap(`, `todo!`.
#[derive(Debug)]
pub struct Word {
    pub line: usize,
    pub text: String,
}

#[derive(Debug, Default)]
pub struct Words {
    pub mentions: Vec<Mention>,
    pub words: Vec<Word>,
    /// Bodies of functions that stand inside a macro, where the syntax tree cannot see them.
    pub functions: Vec<(String, usize, usize)>,
}

pub fn read(text: &str, module: &[String]) -> Words {
    let stream: TokenStream = text.parse().expect("a file of this crate is Rust");
    let mut words = Words::default();
    walk(stream, module, &mut words);
    words
}

fn walk(stream: TokenStream, module: &[String], words: &mut Words) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    while at < trees.len() {
        match &trees[at] {
            TokenTree::Ident(ident) => {
                let imports =
                    ident == "use" || (ident == "crate" && is_word(&trees, at, -1, "extern"));
                note_word(&trees, at, &ident.to_string(), words);
                if imports && !is_angle(&trees, at + 1) {
                    at = import(&trees, at + 1, &[], module, words);
                    continue;
                }
                if ident == "mod"
                    && let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) =
                        (trees.get(at + 1), trees.get(at + 2))
                {
                    let inner: Vec<String> =
                        module.iter().cloned().chain([name.to_string()]).collect();
                    walk(body.stream(), &inner, words);
                    at += 3;
                    continue;
                }
                let (path, next) = path_from(&trees, at);
                if path.len() > 1 {
                    mention(&path, ident.span().start().line, module, words);
                }
                at = next;
            }
            TokenTree::Group(group) => {
                walk(group.stream(), module, words);
                at += 1;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
        }
    }
}

/// One use tree, from `at` to its `;` or `,`; returns where the next one starts.
fn import(
    trees: &[TokenTree],
    at: usize,
    prefix: &[String],
    module: &[String],
    words: &mut Words,
) -> usize {
    let mut at = skip_colons(trees, at);
    let line = trees.get(at).map_or(0, |tree| tree.span().start().line);
    let (own, next) = path_from(trees, at);
    let mut path: Vec<String> = prefix.iter().cloned().chain(own).collect();
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    at = skip_colons(trees, next);
    match trees.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            let mut item = 0;
            while item < inner.len() {
                item = import(&inner, item, &path, module, words);
            }
        }
        Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
            let all: Vec<String> = path.iter().cloned().chain(["*".to_owned()]).collect();
            mention(&all, line, module, words);
        }
        _ => mention(&path, line, module, words),
    }
    while let Some(tree) = trees.get(at) {
        at += 1;
        if matches!(tree, TokenTree::Punct(end) if end.as_char() == ';' || end.as_char() == ',') {
            break;
        }
    }
    at
}

/// The longest `a::b::c` that starts at `at`, and where it ends. A `::` that leads on to no name is left alone.
fn path_from(trees: &[TokenTree], at: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    let mut next = at;
    while let Some(TokenTree::Ident(name)) = trees.get(next) {
        path.push(name.to_string().trim_start_matches("r#").to_owned());
        let after = skip_colons(trees, next + 1);
        if after == next + 1 || !matches!(trees.get(after), Some(TokenTree::Ident(_))) {
            return (path, next + 1);
        }
        next = after;
    }
    (path, next)
}

fn skip_colons(trees: &[TokenTree], at: usize) -> usize {
    let colon = |at: usize| matches!(trees.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    if colon(at) && colon(at + 1) {
        at + 2
    } else {
        at
    }
}

/// `use<'a>` in a return type captures lifetimes; it imports nothing.
fn is_angle(trees: &[TokenTree], at: usize) -> bool {
    matches!(trees.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == '<')
}

fn is_word(trees: &[TokenTree], at: usize, offset: isize, word: &str) -> bool {
    at.checked_add_signed(offset)
        .and_then(|at| trees.get(at))
        .is_some_and(|tree| matches!(tree, TokenTree::Ident(ident) if ident == word))
}

/// Resolved against the module it stands in; a path that climbs out of the crate is none.
fn mention(path: &[String], line: usize, module: &[String], words: &mut Words) {
    let mut base: Option<Vec<String>> = None;
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        match first.as_str() {
            "self" if base.is_none() => base = Some(module.to_vec()),
            "super" => {
                let mut up = base.unwrap_or_else(|| module.to_vec());
                up.pop();
                base = Some(up);
            }
            _ => break,
        }
        rest = tail;
    }
    let path = match base {
        Some(base) => ["crate".to_owned()]
            .into_iter()
            .chain(base)
            .chain(rest.to_vec())
            .collect(),
        None => rest.to_vec(),
    };
    words.mentions.push(Mention { line, path });
}

fn note_word(trees: &[TokenTree], at: usize, text: &str, words: &mut Words) {
    let line = trees[at].span().start().line;
    let punct = |at: Option<usize>, mark: char| {
        at.and_then(|at| trees.get(at))
            .is_some_and(|tree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == mark))
    };
    if punct(at.checked_sub(1), '.') {
        words.words.push(Word {
            line,
            text: format!(".{text}"),
        });
    } else if punct(Some(at + 1), '!') && !punct(Some(at + 2), '=') {
        words.words.push(Word {
            line,
            text: format!("{text}!"),
        });
    } else {
        words.words.push(Word {
            line,
            text: text.to_owned(),
        });
    }
    if text == "fn"
        && let Some(TokenTree::Ident(name)) = trees.get(at + 1)
    {
        let body = trees[at..]
            .iter()
            .take_while(|tree| !matches!(tree, TokenTree::Punct(end) if end.as_char() == ';'));
        let body = body.filter_map(|tree| match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
            _ => None,
        });
        if let Some(body) = body.into_iter().next() {
            words
                .functions
                .push((name.to_string(), line, body.span_close().end().line));
        }
    }
}
