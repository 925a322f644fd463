//! Each rule is shown a small house that breaks it, and must say where; and one that does not, and must be silent.

use crate::source::{Source, mark_tests};
use crate::{doors, shape};

type Rule = fn(&[Source]) -> Vec<String>;

/// The `file:line` of each finding.
fn places(rule: Rule, files: &[(&str, &str)]) -> Vec<String> {
    let mut sources: Vec<Source> = files
        .iter()
        .map(|(file, text)| Source::read(file, text))
        .collect();
    mark_tests(&mut sources);
    let place = |finding: String| finding.split(": ").next().unwrap_or_default().to_owned();
    rule(&sources).into_iter().map(place).collect()
}

#[track_caller]
fn bites(rule: Rule, file: &str, text: &str) {
    let found = places(rule, &[(file, text)]);
    let line = text
        .lines()
        .position(|line| line.contains("// here"))
        .unwrap_or(0)
        + 1;
    assert_eq!(found, [format!("{file}:{line}")], "{text}");
}

#[track_caller]
fn passes(rule: Rule, file: &str, text: &str) {
    assert!(places(rule, &[(file, text)]).is_empty(), "{text}");
}

fn long_function(lines: usize) -> String {
    format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_glance_into_a_closed_room_is_found() {
    for (file, text) in [
        ("src/domain/order.rs", "\nuse crate::store::Store; // here"),
        ("src/domain/order.rs", "\nuse crate::crash::Point; // here"),
        (
            "src/domain.rs",
            "use crate::{\n    domain::Won,\n    store::Store, // here\n};",
        ),
        (
            "src/domain/order.rs",
            "use super::super::gateway::Toss; // here",
        ),
        (
            "src/http/mod.rs",
            "mod inner {\n    use super::super::store::Store; // here\n}",
        ),
        (
            "src/http/mod.rs",
            "fn f() {\n    let s = crate::store::open(); // here\n}",
        ),
        (
            "src/http/mod.rs",
            "fn f(s: &crate::gateway::Toss) {} // here",
        ),
        (
            "src/http/mod.rs",
            "fn f() {\n    assert!(crate::store::open()); // here\n}",
        ),
        (
            "src/store/mod.rs",
            "use crate::{self as house, domain::Won, actors}; // here",
        ),
        ("src/store/mod.rs", "use crate::*; // here"),
        ("src/sandbox/bank.rs", "use crate::gateway::Toss; // here"),
        (
            "src/sandbox/bank.rs",
            "use crate::gateway::{wire::Payment, Toss}; // here",
        ),
        ("src/loadtest/mod.rs", "use crate::domain::Won; // here"),
        ("src/loadtest/mod.rs", "use crate::demo::Story; // here"),
        (
            "src/actors/mod.rs",
            "use crate::settings::Settings; // here",
        ),
        ("src/actors/mod.rs", "use crate::app::App; // here"),
        ("src/app.rs", "use crate::cli::Line; // here"),
        (
            "src/main.rs",
            "fn main() {\n    payonce::app::serve(); // here\n}",
        ),
        ("src/helpers/mod.rs", "fn f() {} // here"),
    ] {
        let expected = if text.contains("self as house") { 2 } else { 1 };
        let found = places(doors::rooms, &[(file, text)]);
        let line = text
            .lines()
            .position(|line| line.contains("// here"))
            .unwrap_or(0)
            + 1;
        assert_eq!(found, vec![format!("{file}:{line}"); expected], "{text}");
    }
}

#[test]
fn a_glance_through_an_open_door_passes() {
    passes(
        doors::rooms,
        "src/domain/order.rs",
        "use super::money::Won;\nuse crate::domain::Order;",
    );
    passes(
        doors::rooms,
        "src/sandbox/bank.rs",
        "use crate::gateway::wire::{Payment, Status};\nuse super::books;",
    );
    passes(
        doors::rooms,
        "src/demo/mod.rs",
        "use crate::{audit::compare, loadtest::Buyer};",
    );
    passes(
        doors::rooms,
        "src/http/mod.rs",
        "/// [`crate::store`] is far.\nconst A: &str = \"crate::store::Store\";",
    );
    passes(
        doors::rooms,
        "src/main.rs",
        "fn main() {\n    payonce::cli::run();\n}",
    );
}

#[test]
fn a_crate_in_the_wrong_room_is_found() {
    for (file, text) in [
        ("src/actors/journal.rs", "use sea_orm::Value; // here"),
        (
            "src/http/mod.rs",
            "use sea_orm_migration::prelude::*; // here",
        ),
        ("src/actors/toss.rs", "fn f() -> reqwest::Client {} // here"),
        (
            "src/loadtest/mod.rs",
            "#[actix_web::main] // here\nfn f() {}",
        ),
        ("src/store/mod.rs", "use actix::Addr; // here"),
        (
            "src/gateway/client.rs",
            "use {governor::Quota, std::fmt}; // here",
        ),
        ("src/gateway/client.rs", "use ::backon::Retryable; // here"),
        (
            "src/settings.rs",
            "#[derive(clap::Parser)] // here\nstruct A;",
        ),
        (
            "src/store/mod.rs",
            "fn f() {\n    Err(anyhow::anyhow!(\"no\")) // here\n}",
        ),
        ("src/app.rs", "use config; // here"),
        ("src/app.rs", "use reqwest as courier; // here"),
        ("src/app.rs", "extern crate reqwest; // here"),
    ] {
        bites(doors::crates, file, text);
    }
    passes(
        doors::crates,
        "src/store/mod.rs",
        "use sea_orm::{Value, prelude::*};",
    );
    passes(
        doors::crates,
        "migrations/m0001_a.rs",
        "use sea_orm_migration::prelude::*;",
    );
    passes(
        doors::crates,
        "src/app.rs",
        "fn f(config: u8) -> u8 {\n    config\n}",
    );
}

#[test]
fn an_impure_domain_is_found() {
    for text in [
        "async fn f() {} // here",
        "fn f() {\n    async { 1 } // here\n}",
        "use tokio::sync::Mutex; // here",
        "fn f() -> u8 {\n    rand::random() // here\n}",
        "use std::{fmt, fs}; // here",
        "use std::net::TcpStream; // here",
        "use std::time::{Duration, Instant}; // here",
        "use std::time; // here",
        "use std::time::SystemTime; // here",
        "fn f() {\n    let n = OffsetDateTime::now_utc(); // here\n}",
        "fn f() {\n    println!(\"paid\"); // here\n}",
    ] {
        bites(doors::purity, "src/domain/order.rs", text);
    }
    passes(
        doors::purity,
        "src/domain/order.rs",
        "use std::time::Duration;\nfn f(now: u64) -> u64 {\n    now\n}",
    );
    passes(doors::purity, "src/store/mod.rs", "use std::time::Instant;");
}

#[test]
fn a_file_too_long_is_found() {
    let text = |lines: usize| "//\n".repeat(lines);
    assert_eq!(
        places(shape::file_lengths, &[("src/app.rs", &text(501))]),
        ["src/app.rs:501"]
    );
    passes(shape::file_lengths, "src/app.rs", &text(500));
}

#[test]
fn a_function_too_long_is_found() {
    let test = |lines: usize| format!("#[cfg(test)]\nmod tests {{\n{}}}", long_function(lines));
    bites(shape::function_lengths, "src/app.rs", &long_function(61));
    passes(shape::function_lengths, "src/app.rs", &long_function(60));
    passes(shape::function_lengths, "src/app.rs", &test(80));
    assert_eq!(
        places(shape::function_lengths, &[("src/app.rs", &test(81))]),
        ["src/app.rs:3"]
    );
    bites(
        shape::function_lengths,
        "tests/money.rs",
        &long_function(81),
    );
    let hidden = format!("proptest! {{\n{}}}", long_function(61));
    assert_eq!(
        places(shape::function_lengths, &[("src/app.rs", &hidden)]),
        ["src/app.rs:2"]
    );
    let method = format!("impl A {{\n{}}}", long_function(61));
    assert_eq!(
        places(shape::function_lengths, &[("src/app.rs", &method)]),
        ["src/app.rs:2"]
    );
}

#[test]
fn giving_up_is_found() {
    for text in [
        "fn f() {\n    open().unwrap(); // here\n}",
        "fn f() {\n    open()\n        .expect(\"open\"); // here\n}",
        "fn f() {\n    vec![open().unwrap()]; // here\n}",
        "fn f() {\n    all.map(Option::unwrap); // here\n}",
        "fn f() {\n    todo!() // here\n}",
        "fn f() {\n    unimplemented!(\"later\") // here\n}",
        "#[cfg(any(test, unix))]\nfn f() {\n    open().unwrap(); // here\n}",
        "#[cfg(not(test))]\nfn f() {\n    open().unwrap(); // here\n}",
        "#[cfg(test)]\nmod tests {}\nfn f() {\n    open().unwrap(); // here\n}",
    ] {
        bites(shape::giving_up, "src/app.rs", text);
    }
    passes(
        shape::giving_up,
        "src/app.rs",
        "fn f() {\n    open().unwrap_or(1);\n}\n// .unwrap()",
    );
    passes(
        shape::giving_up,
        "src/app.rs",
        "#[cfg(test)]\nmod tests {\n    fn f() {\n        open().unwrap();\n    }\n}",
    );
    passes(
        shape::giving_up,
        "tests/money.rs",
        "fn f() {\n    open().unwrap();\n}",
    );
}

#[test]
fn only_a_file_declared_for_tests_is_test_code() {
    let shout = "fn f() {\n    open().unwrap();\n}";
    let house = |declared: &str| {
        let files = [
            ("src/store/mod.rs", declared),
            ("src/store/tests.rs", "mod shop;"),
            ("src/store/tests/shop.rs", shout),
        ];
        places(shape::giving_up, &files)
    };
    assert!(house("#[cfg(test)]\nmod tests;").is_empty());
    assert!(house("#[cfg(test)]\n#[path = \"tests.rs\"]\nmod checks;").is_empty());
    assert_eq!(house("mod tests;"), ["src/store/tests/shop.rs:2"]);
}

#[test]
fn a_silent_file_is_found() {
    bites(shape::openings, "src/app.rs", "use std::fmt; // here\n//");
    passes(shape::openings, "src/app.rs", "//! The app.\nuse std::fmt;");
}

#[test]
fn a_gap_or_a_double_in_the_migrations_is_found() {
    let found = |files: &[&str]| shape::migrations(&names(files)).len();
    assert_eq!(found(&["m0001_a.rs", "m0002_b.rs", "mod.rs"]), 0);
    assert_eq!(found(&["m0001_a.rs", "m0003_c.rs", "mod.rs"]), 1);
    assert_eq!(found(&["m0001_a.rs", "m0001_b.rs", "mod.rs"]), 1);
    assert_eq!(found(&["m0001_a.rs", "notes.rs"]), 1);
}

#[test]
fn clutter_on_the_top_level_is_found() {
    assert!(
        shape::top_level(&names(&[
            ".ci",
            "Cargo.toml",
            "LICENSE-MIT",
            "src",
            "target"
        ]))
        .is_empty()
    );
    let found = shape::top_level(&names(&["Cargo.toml", "notes.txt"]));
    assert_eq!(found, ["notes.txt:1: does not belong on the top level"]);
}
