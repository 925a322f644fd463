//! The house rules, held against every source file: doors between rooms, crates as doors, a pure domain, lengths,
//! manners and layout. A finding names file, line and rule. ARCHITECTURE_ROOT checks another house.

use std::path::PathBuf;

#[path = "architecture/broken.rs"]
mod broken;
#[path = "architecture/doors.rs"]
mod doors;
#[path = "architecture/finding.rs"]
mod finding;
#[path = "architecture/house.rs"]
mod house;
#[path = "architecture/layout.rs"]
mod layout;
#[path = "architecture/lengths.rs"]
mod lengths;
#[path = "architecture/manners.rs"]
mod manners;
#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/purity.rs"]
mod purity;

use finding::Finding;
use house::House;

fn inspect(house: &House) -> Vec<Finding> {
    let checks = [
        doors::check,
        purity::check,
        lengths::check,
        manners::check,
        layout::check,
    ];
    let found = checks.iter().flat_map(|check| check(house));
    let mut findings: Vec<Finding> = house.findings.iter().cloned().chain(found).collect();
    findings.sort();
    findings.dedup();
    findings
}

#[test]
fn the_house_is_in_order() {
    let root = std::env::var_os("ARCHITECTURE_ROOT").map(PathBuf::from);
    let house = House::read(&root.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()));
    assert!(
        house.sources.len() > 10,
        "there is hardly a house to look at"
    );
    let findings: Vec<String> = inspect(&house).iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}
