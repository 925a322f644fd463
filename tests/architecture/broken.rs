//! Small broken houses: each rule must find its own breach, in the right line, and nothing in a sound house.

use std::collections::BTreeMap;

use crate::house::House;
use crate::inspect;
use crate::lengths::{FILE_LINES, FUNCTION_LINES, TEST_LINES};

const MANIFEST: &str = "
[dependencies]
actix = \"0.13\"
actix-web = { version = \"4\" }
anyhow = \"1\"
config = \"0.15\"
mimalloc = \"0.1\"
reqwest = \"0.13\"
sea-orm = \"2\"
thiserror = \"2\"
tokio = \"1\"
uuid = \"1\"
[dev-dependencies]
proptest = \"1\"
";

const MAP: &str = "//! The map.
pub mod actors; pub mod app; pub mod audit; pub mod cli; pub mod demo; pub mod domain; pub mod gateway;
pub mod http; pub mod loadtest; pub mod sandbox; pub mod settings; pub mod store;
";

fn house(files: &[(&str, &str)], top: &[&str]) -> House {
    let mut all = BTreeMap::from([("src/lib.rs".to_owned(), MAP.to_owned())]);
    all.extend(
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned())),
    );
    House::new(
        all,
        top.iter().map(|name| (*name).to_owned()).collect(),
        MANIFEST,
    )
}

fn found(files: &[(&str, &str)]) -> Vec<String> {
    let brief = |finding: &crate::finding::Finding| {
        let (file, line, rule) = (&finding.file, finding.line, finding.rule);
        format!("{file}:{line}: {rule}")
    };
    inspect(&house(files, &[])).iter().map(brief).collect()
}

/// One file, and the line and rule that must be found in it; 0 where it is sound.
#[rustfmt::skip]
const ONE_FILE: &[(&str, &str, usize, &str)] = &[
    // Doors.
    ("src/domain/mod.rs", "//! x\nuse crate::store::Store;", 2, "door"),
    ("src/domain/mod.rs", "//! x\nfn a() {\n    crate::actors::b();\n}", 3, "door"),
    ("src/gateway/mod.rs", "//! x\nuse crate::{domain::Won,\n    store::Store};", 3, "door"),
    ("src/gateway.rs", "//! x\nuse super::http::Door;", 2, "door"),
    ("src/http/mod.rs", "//! x\nuse crate::domain::Won;\nuse crate::actors::Directory;", 0, ""),
    ("src/http/mod.rs", "//! x\n\nuse crate::gateway::Toss;", 3, "door"),
    ("src/http/mod.rs", "//! x\nmod a {\n    use super::super::store::Store;\n}", 3, "door"),
    ("src/http/mod.rs", "//! x\nfn a() { tracing::info!(\"{}\", crate::store::NAME); }", 2, "door"),
    ("src/http/mod.rs", "//! x\n#[cfg(test)]\nmod tests { use crate::store::Store; }", 3, "door"),
    ("src/http/mod.rs", "//! x\nuse crate::*;", 2, "door"),
    ("src/http/mod.rs", "//! x\nfn a(_: &dyn Fn() -> crate::store::Store) {}", 2, "door"),
    ("src/store/mod.rs", "//! x\nuse crate::domain as truth;\nuse crate::actors as who;", 3, "door"),
    ("src/sandbox/mod.rs", "//! x\nuse crate::gateway::wire::PaymentObject;", 0, ""),
    ("src/sandbox/mod.rs", "//! x\nuse crate::gateway::{wire::PaymentObject, Toss};", 2, "door"),
    ("src/loadtest/mod.rs", "//! x\nuse crate::audit::compare;", 0, ""),
    ("src/loadtest/mod.rs", "//! x\nuse crate::gateway::Toss;", 2, "door"),
    ("src/demo/mod.rs", "//! x\nuse crate::loadtest::buyer::Buyer;", 0, ""),
    ("src/demo/mod.rs", "//! x\nuse crate::loadtest::report::Report;", 2, "door"),
    ("src/actors/mod.rs", "//! x\nuse crate::settings::Settings;", 2, "door"),
    ("src/audit/mod.rs", "//! x\nuse crate::app::App;", 2, "door"),
    ("src/settings.rs", "//! x\nuse crate::store::Store;", 2, "door"),
    ("src/app.rs", "//! x\nuse crate::{store::Store, http::Door, settings::Settings};", 0, ""),
    ("src/cli.rs", "//! x\nuse crate::app::App;", 0, ""),
    ("src/main.rs", "//! x\nfn main() { payonce::cli::run(); }", 0, ""),
    // Crates.
    ("src/actors/mod.rs", "//! x\nuse sea_orm::Value;", 2, "crate"),
    ("src/store/mod.rs", "//! x\nuse sea_orm::Value;", 0, ""),
    ("src/http/mod.rs", "//! x\nfn a() -> reqwest::Client { b() }", 2, "crate"),
    ("src/sandbox/mod.rs", "//! x\n#[actix::main]\nasync fn a() {}", 2, "crate"),
    ("src/gateway/mod.rs", "//! x\n#[derive(sea_orm::FromQueryResult)]\nstruct A;", 2, "crate"),
    ("src/gateway/mod.rs", "//! x\nfn a() -> anyhow::Result<()> { b() }", 2, "crate"),
    ("src/store/mod.rs", "//! x\nuse config::Config;", 2, "crate"),
    ("src/store/mod.rs", "//! x\nmod config {}\nfn a(config: u8) { config::b(config) }", 0, ""),
    ("src/domain/mod.rs", "//! x\nuse uuid::Uuid;", 0, ""),
    ("src/domain/mod.rs", "//! x\nuse tokio::time::Instant;", 2, "crate"),
    // A pure domain.
    ("src/domain/mod.rs", "//! x\n\nasync fn a() {}", 3, "pure"),
    ("src/domain/mod.rs", "//! x\nfn a() { std::time::Instant::now(); }", 2, "pure"),
    ("src/domain/mod.rs", "//! x\nuse std::{time::SystemTime};", 2, "pure"),
    ("src/domain/mod.rs", "//! x\nfn a() -> u128 { Uuid::new_v4().as_u128() }", 2, "pure"),
    ("src/domain/mod.rs", "//! x\nfn a() { println!(\"a\"); }", 2, "pure"),
    ("src/domain/mod.rs", "//! x\nuse std::fs;", 2, "pure"),
    ("src/domain/mod.rs", "//! x\nuse std::time::Duration;\n#[cfg(test)]\nmod tests { use std::fs; }", 0, ""),
    // Manners.
    ("src/http/mod.rs", "use crate::domain::Won;", 1, "opening"),
    ("src/http/mod.rs", "//! x\nfn a() { b().unwrap(); }", 2, "panic"),
    ("src/http/mod.rs", "//! x\nfn a() {\n    format!(\"{}\", b().expect(\"c\"));\n}", 3, "panic"),
    ("src/http/mod.rs", "//! x\nfn a() { b().unwrap_or_default(); }", 0, ""),
    ("src/http/mod.rs", "//! x\n#[cfg(test)]\nmod tests {\n    fn a() { b().unwrap(); }\n}", 0, ""),
    ("src/http/mod.rs", "//! x\n#[cfg(all(test, unix))]\nmod tests {\n    fn a() { b().unwrap(); }\n}", 0, ""),
    ("src/http/mod.rs", "//! x\n#[cfg(any(test, unix))]\nmod a { fn a() { b().unwrap(); } }", 3, "panic"),
    ("src/http/mod.rs", "//! x\n#[cfg(not(test))]\nmod a { fn a() { b().unwrap(); } }", 3, "panic"),
    ("src/main.rs", "//! x\nfn main() { a().unwrap(); }", 0, ""),
    ("src/http/mod.rs", "//! x\nfn a() { todo!() }", 2, "unfinished"),
    ("src/http/mod.rs", "//! x\nfn a() { vec![unimplemented!()]; }", 2, "unfinished"),
    ("src/http/mod.rs", "//! x\nfn a( {}", 2, "syntax"),
    ("src/http/stray.rs", "//! x", 1, "orphan"),
];

#[test]
fn every_breach_is_found_where_it_is() {
    for (path, text, line, rule) in ONE_FILE {
        let expected = match line {
            0 => Vec::new(),
            line => vec![format!("{path}:{line}: {rule}")],
        };
        assert_eq!(found(&[(path, text)]), expected, "in {path}:\n{text}");
    }
}

#[test]
fn test_code_is_known_by_where_it_is_declared() {
    let panics = ("src/http/tests.rs", "//! x\nfn a() { b().unwrap(); }");
    assert!(
        found(&[
            ("src/http/mod.rs", "//! x\n#[cfg(test)]\nmod tests;"),
            panics
        ])
        .is_empty()
    );
    let declared = ("src/http/mod.rs", "//! x\nmod tests;");
    assert_eq!(found(&[declared, panics]), ["src/http/tests.rs:2: panic"]);
    let elsewhere = (
        "src/http/mod.rs",
        "//! x\n#[cfg(test)]\n#[path = \"odd.rs\"]\nmod tests;",
    );
    let odd = ("src/http/odd.rs", panics.1);
    assert!(found(&[elsewhere, odd]).is_empty());
}

#[test]
fn doors_are_judged_from_where_a_module_stands() {
    let deep = |text| {
        [
            ("src/http.rs", "//! x\nmod a;"),
            ("src/http/a.rs", "//! x\nmod b;"),
            ("src/http/a/b.rs", text),
        ]
    };
    assert!(found(&deep("//! x\nuse super::super::c;")).is_empty());
    assert_eq!(
        found(&deep("//! x\nuse super::super::super::store::S;")),
        ["src/http/a/b.rs:2: door"]
    );
}

#[test]
fn what_is_too_long_is_found() {
    let body = |lines: usize| format!("//! x\nfn a() {{\n{}}}\n", "    b();\n".repeat(lines - 2));
    assert!(found(&[("src/http/mod.rs", &body(FUNCTION_LINES))]).is_empty());
    let long = found(&[("src/http/mod.rs", &body(FUNCTION_LINES + 1))]);
    assert_eq!(long, ["src/http/mod.rs:2: function length"]);
    assert!(found(&[("tests/a.rs", &body(TEST_LINES))]).is_empty());
    assert_eq!(
        found(&[("tests/a.rs", &body(TEST_LINES + 1))]),
        ["tests/a.rs:2: function length"]
    );
    let file = |lines: usize| format!("//! x\n{}", "\n".repeat(lines - 1));
    assert!(found(&[("src/http/mod.rs", &file(FILE_LINES))]).is_empty());
    let long = found(&[("src/http/mod.rs", &file(FILE_LINES + 1))]);
    assert_eq!(long, ["src/http/mod.rs:501: file length"]);
}

#[test]
fn migrations_are_numbered_without_gaps_and_are_of_the_store() {
    let store = (
        "src/store/mod.rs",
        "//! x\n#[path = \"../../migrations/mod.rs\"]\nmod numbered;",
    );
    let list = ("migrations/mod.rs", "//! x\nmod m0001_a;\nmod m0002_b;");
    let first = ("migrations/m0001_a.rs", "//! x\nuse sea_orm::Value;");
    let second = |name| (name, "//! x\nuse reqwest::Client;");
    let sound = found(&[store, list, first, ("migrations/m0002_b.rs", "//! x")]);
    assert!(sound.is_empty(), "{sound:?}");
    let odd = found(&[store, list, first, second("migrations/m0002_b.rs")]);
    assert_eq!(odd, ["migrations/m0002_b.rs:2: crate"]);
    let nosy = (
        "migrations/m0001_a.rs",
        "//! x\nuse super::text;\nuse super::super::Store;",
    );
    let curious = found(&[store, list, nosy, ("migrations/m0002_b.rs", "//! x")]);
    assert_eq!(curious, ["migrations/m0001_a.rs:3: door"]);
    let gap = found(&[store, list, first, ("migrations/m0003_c.rs", "//! x")]);
    assert_eq!(gap, ["migrations/m0003_c.rs:1: migration number"]);
}

#[test]
fn the_top_level_is_short() {
    let top = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE-MIT",
        "README.md",
        ".ci",
        "src",
        "tests",
        "scripts",
    ];
    let findings = inspect(&house(&[], &top));
    let names: Vec<&str> = findings
        .iter()
        .map(|finding| finding.file.as_str())
        .collect();
    assert_eq!(names, ["scripts"]);
}
