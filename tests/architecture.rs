//! The house keeps its own rules: who may look where, which crate enters by which door, how long things may grow.
//! The rules are in `architecture/`, the proofs that each of them bites in `architecture/bites.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "architecture/bites.rs"]
mod bites;
#[path = "architecture/doors.rs"]
mod doors;
#[path = "architecture/shape.rs"]
mod shape;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/tokens.rs"]
mod tokens;

use std::path::Path;
use std::sync::LazyLock;

use source::Source;

static TREE: LazyLock<Vec<Source>> = LazyLock::new(|| source::read_tree(root()));

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn holds(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn the_tree_was_read() {
    for known in [
        "src/lib.rs",
        "src/domain/payment.rs",
        "migrations/mod.rs",
        "tests/architecture.rs",
    ] {
        assert!(TREE.iter().any(|source| source.file == known), "{known}");
    }
    let test = |file: &str| TREE.iter().any(|source| source.file == file && source.test);
    assert!(test("src/domain/payment/grid.rs"));
    assert!(test("src/domain/payment/properties/world.rs"));
    assert!(!test("src/domain/payment/after.rs"));
}

#[test]
fn no_room_looks_where_it_may_not() {
    holds(doors::rooms(&TREE));
}

#[test]
fn each_crate_enters_by_its_own_door() {
    holds(doors::crates(&TREE));
}

#[test]
fn the_domain_is_pure() {
    holds(doors::purity(&TREE));
}

#[test]
fn files_stay_short() {
    holds(shape::file_lengths(&TREE));
}

#[test]
fn functions_stay_short() {
    holds(shape::function_lengths(&TREE));
}

#[test]
fn nothing_outside_of_tests_gives_up() {
    holds(shape::giving_up(&TREE));
}

#[test]
fn every_file_says_what_it_is_for() {
    holds(shape::openings(&TREE));
}

#[test]
fn migrations_count_without_gaps() {
    holds(shape::migrations(&source::names(
        &root().join("migrations"),
    )));
}

#[test]
fn the_top_floor_is_bare() {
    holds(shape::top_level(&source::names(root())));
}
