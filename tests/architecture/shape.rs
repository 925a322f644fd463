//! How long things may grow, how a file opens, what may give up, and what lies on the top floor.

use crate::source::Source;

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 60;
const TEST_FUNCTION_LINES: usize = 80;

const GIVES_UP: &[&str] = &[
    ".unwrap",
    ".expect",
    ".unwrap_err",
    ".expect_err",
    "todo!",
    "unimplemented!",
];

const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "src",
    "migrations",
    "config",
    "tests",
    "target",
];

pub fn file_lengths(sources: &[Source]) -> Vec<String> {
    let long = sources.iter().filter(|source| source.lines > FILE_LINES);
    long.map(|source| {
        let rule = format!(
            "a file has at most {FILE_LINES} lines, this one {}",
            source.lines
        );
        source.finding(FILE_LINES + 1, &rule)
    })
    .collect()
}

/// From the `fn` to its closing brace.
pub fn function_lengths(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        for (name, first, last) in &source.words.functions {
            let limit = if source.is_test(*first) {
                TEST_FUNCTION_LINES
            } else {
                FUNCTION_LINES
            };
            let lines = last - first + 1;
            if lines > limit {
                let rule = format!("a function has at most {limit} lines, `{name}` {lines}");
                findings.push(source.finding(*first, &rule));
            }
        }
    }
    findings
}

pub fn giving_up(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        let words = source
            .words
            .words
            .iter()
            .map(|word| (word.line, word.text.clone()));
        let paths =
            source
                .words
                .mentions
                .iter()
                .filter_map(|mention| match mention.path.as_slice() {
                    [.., owner, last] if owner == "Option" || owner == "Result" => {
                        Some((mention.line, format!(".{last}")))
                    }
                    _ => None,
                });
        for (line, text) in words.chain(paths) {
            if GIVES_UP.contains(&text.as_str()) && !source.is_test(line) {
                findings.push(source.finding(line, &format!("only tests give up with `{text}`")));
            }
        }
    }
    findings
}

/// A migration's name is its sentence; every other file opens with one.
pub fn openings(sources: &[Source]) -> Vec<String> {
    let silent = sources
        .iter()
        .filter(|source| source.room != "migrations" && !source.first_line.starts_with("//!"));
    silent
        .map(|source| source.finding(1, "a file opens with `//!` and what it is for"))
        .collect()
}

pub fn migrations(names: &[String]) -> Vec<String> {
    let mut steps: Vec<&String> = names.iter().filter(|name| *name != "mod.rs").collect();
    steps.sort();
    let wrong = steps
        .iter()
        .zip(1..)
        .filter(|(name, number)| !name.starts_with(&format!("m{number:04}_")));
    wrong
        .map(|(name, number)| {
            format!("migrations/{name}:1: migrations count without gaps, here stands m{number:04}")
        })
        .collect()
}

pub fn top_level(names: &[String]) -> Vec<String> {
    let known = |name: &str| {
        TOP_LEVEL.contains(&name) || name.starts_with('.') || name.starts_with("LICENSE-")
    };
    let strange = names.iter().filter(|name| !known(name));
    strange
        .map(|name| format!("{name}:1: does not belong on the top level"))
        .collect()
}
