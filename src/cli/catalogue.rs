//! `payonce products`: the catalogue, from a file and to the terminal.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use csv::StringRecord;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::app::{self, AppFault};
use crate::domain::product::{Listing, words};
use crate::domain::{Product, ProductId, Won};
use crate::settings::Settings;
use crate::store::{Change, Opened, Restock, StoreFault, Verdict};

/// The first line of a file.
const COLUMNS: [&str; 5] = ["id", "name", "price", "stock", "seller"];

/// The first stock of a product has one name, so that of two imports that run at once the second finds it taken.
fn first_stock(product: ProductId) -> Uuid {
    let name = Sha256::digest(format!("products import: the first stock of {product}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&name[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// All rows or none: a file with a bad row changes nothing.
pub async fn import(settings: &Settings, runtime: &Runtime, file: &Path) -> anyhow::Result<bool> {
    let rows = read(file)?;
    let store = app::open_store(settings, Opened::Tool, runtime).await;
    let store = store.map_err(while_served)?;
    let migrated = store.migrate_unserved().await;
    migrated.context("nodes of an earlier build may serve it: roll this one out first")?;
    let ids: Vec<ProductId> = rows.iter().map(|(listing, _)| listing.id).collect();
    let known = store.shelf(&ids).await?;
    let at = store.now().await?;
    let mut changes = Vec::new();
    let mut kept = 0;
    for (listing, stock) in rows {
        let product = listing.id;
        changes.push(Change::List(listing));
        match known.get(&product) {
            // Its stock has a history; a file knows nothing of what was sold since it was written.
            Some(_) => kept += 1,
            None if stock > 0 => {
                changes.push(Change::Restock(Restock {
                    id: first_stock(product),
                    product,
                    change: stock,
                    reason: "products import".into(),
                    at,
                }));
            }
            None => {}
        }
    }
    let committed = store.commit(&changes).await;
    let committed = committed.context("the database did not take the import")?;
    let refused = |verdict: &Verdict| !matches!(verdict, Verdict::Committed { .. });
    if committed.verdicts.iter().any(refused) {
        bail!(
            "somebody else changed some of these products meanwhile: import the file again, what is there is kept"
        );
    }
    store.close().await;
    say!(
        "{} products imported; the stock of {kept} known ones was left alone",
        ids.len()
    );
    Ok(true)
}

fn while_served(fault: AppFault) -> anyhow::Error {
    let served = matches!(&fault, AppFault::Store(StoreFault::AlreadyServed { .. }));
    let fault = anyhow::Error::from(fault);
    match served {
        true => fault.context("stop the server, or use PUT /api/v1/products/{id} while it runs"),
        false => fault,
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<(Listing, i64)>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file);
    // The reader counts the two halves of such an end of a line for different records.
    let text = text
        .with_context(|| format!("cannot read {shown}"))?
        .replace("\r\n", "\n");
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let header = reader.headers();
    let header = header.with_context(|| format!("cannot read {shown}"))?;
    if *header != COLUMNS[..] {
        bail!("{shown}, line 1: wants {}", COLUMNS.join(","));
    }
    let mut rows = Vec::new();
    let mut lines = BTreeMap::new();
    for row in reader.records() {
        let row = row.with_context(|| format!("cannot read {shown}"))?;
        let line = row.position().map_or(0, csv::Position::line);
        let (listing, stock) =
            listing(&row).map_err(|wants| anyhow!("{shown}, line {line}: {wants}"))?;
        let id = listing.id;
        if let Some(first) = lines.insert(id, line) {
            bail!("{shown}, line {line}: product {id} is on line {first} already");
        }
        rows.push((listing, stock));
    }
    if rows.is_empty() {
        bail!("{shown} names no product");
    }
    Ok(rows)
}

fn listing(row: &StringRecord) -> Result<(Listing, i64), String> {
    let field = |at: usize| row.get(at).unwrap_or_default();
    let whole = |at: usize| field(at).parse::<i64>().ok();
    let wants = |at: usize, what: &dyn Display| format!("{} wants {what}", COLUMNS[at]);
    let (most_won, most_stock) = (Won::MAX.get(), Product::MOST_STOCK);

    let id = whole(0).and_then(ProductId::new);
    let name = words(field(1), Product::NAME_CHARS);
    let price = whole(2).and_then(Won::new);
    let stock = whole(3).filter(|stock| (0..=most_stock).contains(stock));
    let seller = whole(4).filter(|seller| Listing::SELLERS.contains(seller));
    let listing = Listing {
        id: id.ok_or_else(|| wants(0, &format_args!("1 to {most_won}")))?,
        name: name.ok_or_else(|| {
            let most = Product::NAME_CHARS;
            wants(
                1,
                &format_args!("1 to {most} characters, none a control character"),
            )
        })?,
        price: price.ok_or_else(|| wants(2, &format_args!("0 to {most_won}, in won")))?,
        seller_id: seller
            .ok_or_else(|| wants(4, &format_args!("1 to {}", Listing::SELLERS.end())))?,
    };
    let stock = stock.ok_or_else(|| wants(3, &format_args!("0 to {most_stock}")))?;
    Ok((listing, stock))
}

pub async fn list(settings: &Settings, runtime: &Runtime) -> anyhow::Result<bool> {
    let store = app::open_store(settings, Opened::ReadOnly, runtime).await?;
    say!(
        "{:>10}  {:>12}  {:>9}  {:>9}  {:>9}  {:>8}  name",
        "id",
        "price",
        "stock",
        "held",
        "sold",
        "seller"
    );
    for counted in store.all_counted().await? {
        let (held, sold) = (counted.held, counted.sold());
        let Product { listing, stock, .. } = counted.product;
        let (id, price, seller, name) = (
            listing.id,
            listing.price.get(),
            listing.seller_id,
            listing.name,
        );
        say!("{id:>10}  {price:>12}  {stock:>9}  {held:>9}  {sold:>9}  {seller:>8}  {name}");
    }
    Ok(true)
}
