//! What stands at the top level, and how migrations are numbered.

use crate::finding::Finding;
use crate::house::House;

const TOP: [&str; 7] = [
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "migrations",
    "config",
    "tests",
    "README.md",
];

pub fn check(house: &House) -> Vec<Finding> {
    let mut findings = top(house);
    findings.extend(numbers(house));
    findings
}

fn top(house: &House) -> Vec<Finding> {
    let fits =
        |name: &str| TOP.contains(&name) || name.starts_with('.') || name.starts_with("LICENSE");
    let strangers = house.top.iter().filter(|name| !fits(name));
    strangers
        .map(|name| Finding::new(name, 1, "top level", "does not belong here"))
        .collect()
}

/// `m0001_..`, `m0002_..`, without gaps and without twins.
fn numbers(house: &House) -> Vec<Finding> {
    let names = house
        .sources
        .iter()
        .filter_map(|source| source.path.strip_prefix("migrations/"));
    let mut steps: Vec<&str> = names.filter(|name| *name != "mod.rs").collect();
    steps.sort_unstable();
    let mut findings = Vec::new();
    for (number, name) in (1..).zip(steps) {
        if !name.starts_with(&format!("m{number:04}_")) {
            let what = format!("number {number} of the migrations is m{number:04}_..");
            findings.push(Finding::new(
                &format!("migrations/{name}"),
                1,
                "migration number",
                what,
            ));
            break;
        }
    }
    findings
}
