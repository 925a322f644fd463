//! The voice: one line a step, in colour where a person watches, plain in a pipe.

use std::io::IsTerminal;
use std::time::Duration;

use super::house::House;

#[derive(Clone)]
pub struct Teller {
    colour: bool,
}

/// The column in which what happened begins.
const TITLE_CHARS: usize = 24;

impl Teller {
    pub fn of_this_terminal() -> Teller {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        Teller {
            colour: wanted && std::io::stdout().is_terminal(),
        }
    }

    pub fn opening(&self, house: &House) {
        let (shop, toss) = (house.shop_url(), house.sandbox_url());
        mention!(
            "{}",
            self.paint(BOLD, "payonce demo: every order is paid once")
        );
        mention!(
            "{}",
            self.paint(DIM, &format!("shop {shop}, Toss (sandbox) {toss}"))
        );
        if house.is_kept() {
            let folder = house.folder().display();
            mention!("{}", self.paint(DIM, &format!("kept in {folder}")));
        }
        mention!();
    }

    pub fn happened(&self, title: &str, what: &str) {
        mention!(
            "{} {title:<TITLE_CHARS$} {what}",
            self.paint(GREEN, "ok     ")
        );
    }

    pub fn differed(&self, title: &str, how: &str) {
        mention!("{} {title:<TITLE_CHARS$} {how}", self.paint(RED, "DIFFERS"));
    }

    /// A request, before the step that it belongs to is told.
    pub fn aside(&self, command: &str) {
        mention!("{}", self.paint(DIM, &format!("        $ {command}")));
    }

    pub fn closing(&self, differences: usize, took: Duration) {
        let seconds = took.as_secs_f64();
        let verdict = match differences {
            0 => self.paint(GREEN, "as promised"),
            1 => self.paint(RED, "1 step differs"),
            some => self.paint(RED, &format!("{some} steps differ")),
        };
        mention!("\n{verdict}, in {seconds:.1} s");
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("{colour}{text}{RESET}")
        } else {
            text.to_owned()
        }
    }
}

const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const RESET: &str = "\u{1b}[0m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_gets_plain_text() {
        let plain = Teller { colour: false };
        assert_eq!(plain.paint(RED, "text"), "text");
        let terminal = Teller { colour: true };
        assert_eq!(terminal.paint(RED, "text"), "\u{1b}[31mtext\u{1b}[0m");
    }
}
