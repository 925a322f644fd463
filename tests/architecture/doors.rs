//! Which room may look into which, and which third-party crate is used where.

use crate::finding::Finding;
use crate::house::{House, Source};
use crate::paths::{Named, named};

/// A room, and what it may look into: another room, or only a part of it.
const DOORS: [(&str, &[&str]); 11] = [
    ("domain", &[]),
    ("gateway", &["domain"]),
    ("store", &["domain", "migrations"]),
    ("migrations", &[]),
    ("actors", &["domain", "gateway", "store"]),
    ("http", &["domain", "actors"]),
    ("sandbox", &["gateway::wire"]),
    ("audit", &["domain", "store", "gateway"]),
    ("loadtest", &["audit"]),
    ("demo", &["audit", "loadtest::buyer"]),
    ("settings", &["domain"]),
];

/// They may see everyone; `lib` is the map.
const EVERYWHERE: [&str; 4] = ["app", "cli", "main", "lib"];

/// A crate, and the rooms that are its door.
const CRATES: [(&str, &[&str]); 14] = [
    ("sea_orm", &["store", "migrations"]),
    ("sea_orm_migration", &["store", "migrations"]),
    ("sqlx", &["store", "migrations"]),
    ("reqwest", &["gateway", "audit", "loadtest", "demo"]),
    ("actix_web", &["http", "sandbox"]),
    ("actix_cors", &["http", "sandbox"]),
    ("actix", &["actors", "http", "app"]),
    ("actix_rt", &["actors", "http", "app"]),
    ("governor", &["actors"]),
    ("backon", &["actors"]),
    ("clap", &["cli", "loadtest", "demo", "main"]),
    ("anyhow", &["cli", "loadtest", "demo", "main"]),
    ("config", &["settings"]),
    ("mimalloc", &["main"]),
];

/// What the domain may use beside the standard library; proptest in its tests.
const OF_DOMAIN: [&str; 3] = ["uuid", "thiserror", "proptest"];

pub fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in house
        .sources
        .iter()
        .filter(|source| !source.path.starts_with("tests/"))
    {
        let (names, local) = named(source);
        for name in names {
            let room = source.room();
            let broken = match name.rooted() {
                Some(path) if is_own_step(source, &path) => None,
                Some(path) => look(room, &path),
                None => {
                    let first = name.segments.first().map_or("", String::as_str);
                    let hidden = local.contains(first) || (name.segments.len() < 2 && !name.is_use);
                    let ours = hidden || !house.crates.contains(first);
                    (!ours).then(|| reach(room, first)).flatten()
                }
            };
            let Some((rule, why)) = broken else { continue };
            findings.push(Finding::new(
                &source.path,
                name.line,
                rule,
                told(&name, &why),
            ));
        }
    }
    findings
}

/// Migrations are modules of the store by `#[path]`, but only their own list is theirs.
fn is_own_step(source: &Source, path: &[String]) -> bool {
    let list = match source.path.ends_with("/mod.rs") {
        true => &source.module[..],
        false => &source.module[..source.module.len().saturating_sub(1)],
    };
    source.room() == "migrations" && path.starts_with(list)
}

type Broken = Option<(&'static str, String)>;

fn told(name: &Named, why: &str) -> String {
    format!("`{}`: {why}", name.text())
}

fn look(room: &str, path: &[String]) -> Broken {
    let other = path.first().map(String::as_str)?;
    if EVERYWHERE.contains(&room) || other == room {
        return None;
    }
    if other == "*" || other == "self" {
        return Some(("door", "name the room, not the whole house".into()));
    }
    if matches!(other, "app" | "cli") {
        return Some(("door", format!("nobody looks into {other}")));
    }
    if !DOORS.iter().any(|(known, _)| *known == other) {
        return None;
    }
    let allowed = DOORS
        .iter()
        .find(|(known, _)| *known == room)
        .map_or(&[][..], |(_, to)| to);
    let path = format!("{}::", path.join("::"));
    let open = |door: &&&str| path.starts_with(&format!("{door}::"));
    match allowed.iter().find(open) {
        Some(_) => None,
        None if allowed.is_empty() => Some(("door", format!("{room} looks into no other room"))),
        None => Some((
            "door",
            format!("{room} looks only into {}", allowed.join(", ")),
        )),
    }
}

fn reach(room: &str, name: &str) -> Broken {
    if room == "domain" && !OF_DOMAIN.contains(&name) {
        return Some((
            "crate",
            format!("domain uses only {}", OF_DOMAIN.join(", ")),
        ));
    }
    let (_, rooms) = CRATES.iter().find(|(known, _)| *known == name)?;
    let open = room == "main" || rooms.contains(&room);
    (!open).then(|| {
        (
            "crate",
            format!("{name} is used only in {}", rooms.join(", ")),
        )
    })
}
