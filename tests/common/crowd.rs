//! `payonce loadtest` against a house, as a process, and what it reports.

use std::path::Path;
use std::process::{Child, Output, Stdio};

use serde_json::Value;

use super::house::House;
use super::process::command;

pub struct Run {
    pub clean: bool,
    pub table: String,
    pub json: Value,
}

pub fn crowd(house: &House, urls: &[&str], words: &str) -> Child {
    let mut args = vec!["loadtest", "--sandbox", house.toss_url()];
    args.extend(urls.iter().flat_map(|url| ["--url", url]));
    args.extend(words.split_whitespace());
    let mut crowd = command(&args, &[]);
    crowd.stdout(Stdio::piped()).stderr(Stdio::piped());
    crowd.spawn().unwrap()
}

pub fn run_at(house: &House, urls: &[&str], words: &str) -> Run {
    let file = house.folder.path().join("report.json");
    let words = format!("{words} --json {}", file.display());
    let ended = crowd(house, urls, &words).wait_with_output();
    report(ended.unwrap(), &file)
}

pub fn report(ended: Output, file: &Path) -> Run {
    let table = String::from_utf8(ended.stdout).unwrap();
    let complaint = String::from_utf8(ended.stderr).unwrap();
    let json = std::fs::read(file);
    let json = json.unwrap_or_else(|_| panic!("no report:\n{table}\n{complaint}"));
    Run {
        clean: ended.status.success(),
        table,
        json: serde_json::from_slice(&json).unwrap(),
    }
}

pub fn run(house: &House, words: &str) -> Run {
    run_at(house, &[&house.server.url], words)
}
