//! The story: its chapters in order, what they share, and what the buyer checks again and again.

use std::fmt;

use anyhow::Context;

use super::house::House;
use super::teller::Teller;
use super::{paying, refusals, trouble};
use crate::audit::{TossEntry, TossLedger};
use crate::loadtest::buyer::{
    Answer, Authorized, Buyer, Confirm, Line, OrderStatus, Paid, Product, grouped,
};

pub const OGU: i64 = 1;
pub const BABY_OGU: i64 = 2;
/// KRW.
pub const OGU_PRICE: i64 = 50_000;
pub const USER: u64 = 1;

pub struct Story {
    pub buyer: Buyer,
    pub house: House,
    /// The order of the first chapters, once there is one.
    pub first: Option<Paper>,
    teller: Teller,
    differences: usize,
}

/// What the buyer holds of one order.
#[derive(Clone, Debug)]
pub struct Paper {
    pub order_id: String,
    pub total: i64,
    /// Empty until the buyer was in Toss's window.
    pub payment_key: String,
    /// The `data` of the answer that said paid.
    pub receipt: Option<String>,
}

/// How many of each product the shop has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shelf {
    pub ogu: i64,
    pub baby: i64,
}

impl fmt::Display for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stock {} and {}", self.ogu, self.baby)
    }
}

impl Shelf {
    /// One "Ogu T" less: what every order of the later chapters buys.
    pub const fn less_one(self) -> Shelf {
        Shelf {
            ogu: self.ogu - 1,
            baby: self.baby,
        }
    }
}

/// Tells one chapter: runs it, and says what happened or what differed.
macro_rules! chapter {
    ($story:ident, $title:literal, $step:path) => {
        match $step($story).await {
            Ok(what) => $story.teller.happened($title, &what),
            Err(how) => {
                $story.differences += 1;
                $story.teller.differed($title, &format!("{how:#}"));
            }
        }
    };
}

impl Story {
    pub const fn new(buyer: Buyer, house: House, teller: Teller) -> Story {
        Story {
            buyer,
            house,
            first: None,
            teller,
            differences: 0,
        }
    }

    pub async fn tell(&mut self) {
        let story = self;
        chapter!(story, "checkout", paying::checkout);
        chapter!(story, "authorization", paying::authorization);
        chapter!(story, "confirm", paying::confirm);
        chapter!(story, "the same confirm again", paying::again);
        chapter!(story, "1,000 at once", paying::thousand_at_once);
        chapter!(
            story,
            "wrong amount, wrong user",
            refusals::wrong_amount_and_user
        );
        chapter!(
            story,
            "declined, another card",
            refusals::declined_then_paid
        );
        chapter!(story, "answer lost", trouble::answer_lost);
        chapter!(story, "kill -9 mid-confirm", trouble::killed_and_restarted);
        chapter!(story, "audit", trouble::audit);
    }

    pub const fn differences(&self) -> usize {
        self.differences
    }

    pub fn into_house(self) -> House {
        self.house
    }

    /// Checks out and asks the shop what it costs.
    pub async fn order(&self, lines: &[Line]) -> anyhow::Result<Paper> {
        let answer = self.buyer.checkout(USER, lines).await?;
        same("the checkout's status", answer.status, 201)?;
        let order: OrderStatus = answer.data()?;
        same("the order's status", order.status.as_str(), "READY")?;
        Ok(Paper {
            order_id: order.order_id,
            total: order.total_amount,
            payment_key: String::new(),
            receipt: None,
        })
    }

    /// Pays in Toss's window.
    pub async fn authorize(&self, paper: &mut Paper) -> anyhow::Result<()> {
        let answer = self.buyer.authorize(&paper.order_id, paper.total).await?;
        let authorized: Authorized = answer.plain()?;
        paper.payment_key = authorized.payment_key;
        Ok(())
    }

    /// One "Ogu T", checked out and paid in Toss's window, not confirmed.
    pub async fn one_ogu(&self) -> anyhow::Result<Paper> {
        let line = Line {
            product_id: OGU,
            quantity: 1,
        };
        let mut paper = self.order(&[line]).await?;
        same("the total", paper.total, OGU_PRICE)?;
        self.authorize(&mut paper).await?;
        Ok(paper)
    }

    /// Sends the browser's confirm for this paper.
    pub async fn confirm(&self, paper: &Paper) -> anyhow::Result<Answer> {
        let amount = paper.total.to_string();
        Ok(self.buyer.confirm(&paper.confirm(&amount)).await?)
    }

    /// Tells the sandbox what goes wrong next.
    pub async fn order_fault(&self, fault: &serde_json::Value) -> anyhow::Result<()> {
        let answer = self.buyer.set_faults(fault).await?;
        let summary = answer.summary();
        anyhow::ensure!(answer.is_success(), "the sandbox refused: {summary}");
        Ok(())
    }

    /// What the shop has left. Not part of the story, so not told as a request.
    pub async fn shelf(&self) -> anyhow::Result<Shelf> {
        let buyer = self.buyer.clone().unwatched();
        let ogu: Product = buyer.product(OGU).await?.data()?;
        let baby: Product = buyer.product(BABY_OGU).await?.data()?;
        Ok(Shelf {
            ogu: ogu.stock,
            baby: baby.stock,
        })
    }

    pub async fn status(&self, paper: &Paper) -> anyhow::Result<String> {
        let buyer = self.buyer.clone().unwatched();
        let order: OrderStatus = buyer.status(&paper.order_id).await?.data()?;
        Ok(order.status)
    }

    /// What Toss knows of this order, one entry for each paymentKey.
    pub async fn at_toss(&self, paper: &Paper) -> anyhow::Result<Vec<TossEntry>> {
        let buyer = self.buyer.clone().unwatched();
        let answer = buyer.ledger(Some(&paper.order_id)).await?;
        let ledger: TossLedger = answer.plain().context("Toss's ledger")?;
        Ok(ledger.payments)
    }

    /// Approvals over all paymentKeys of the order: 1 means that it was paid once.
    pub async fn approvals(&self, paper: &Paper) -> anyhow::Result<u64> {
        let entries = self.at_toss(paper).await?;
        Ok(entries.iter().map(|entry| entry.approvals).sum())
    }
}

impl Paper {
    pub fn confirm<'a>(&'a self, amount: &'a str) -> Confirm<'a> {
        Confirm {
            user_id: USER,
            order_id: &self.order_id,
            amount,
            payment_key: &self.payment_key,
        }
    }
}

/// A promise about one thing.
pub fn same<T: PartialEq + fmt::Display>(what: &str, got: T, promised: T) -> anyhow::Result<()> {
    anyhow::ensure!(got == promised, "{what} is {got}, not {promised}");
    Ok(())
}

/// 200, DONE.
pub fn is_paid(answer: &Answer) -> anyhow::Result<()> {
    let order: Paid<'_> = answer.data()?;
    same("the answer", answer.status, 200)?;
    same("the payment's status", &*order.status, "DONE")
}

/// This HTTP status, this code.
pub fn is_refused(answer: &Answer, status: u16, code: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        answer.status == status && answer.refusal().code == code,
        "the answer is {}, not {status} {code}",
        answer.summary()
    );
    Ok(())
}

pub fn won(amount: i64) -> String {
    format!("{} KRW", grouped(amount.unsigned_abs()))
}
