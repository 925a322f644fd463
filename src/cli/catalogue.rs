//! `payonce products`: the catalogue, from a file and to the terminal.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::app::{self, AppFault};
use crate::domain::product::{Listing, words};
use crate::domain::{Product, ProductId, Won};
use crate::settings::Settings;
use crate::store::{Change, Opened, Restock, StoreFault, Verdict};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: i64,
    name: String,
    price: i64,
    stock: i64,
    seller: i64,
}

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
    store.migrate().await?;
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
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(file)?;
    let mut rows = Vec::new();
    for (line, row) in (2..).zip(reader.deserialize::<Row>()) {
        let row = row.with_context(|| format!("{shown}: id,name,price,stock,seller"))?;
        rows.push(listing(row).map_err(|wants| anyhow!("{shown}, line {line}: {wants}"))?);
    }
    let mut ids: Vec<ProductId> = rows.iter().map(|(listing, _)| listing.id).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("{shown}: product {} appears twice", twice[0]);
    }
    Ok(rows)
}

fn listing(row: Row) -> Result<(Listing, i64), String> {
    let id = ProductId::new(row.id).ok_or("id wants a positive whole number")?;
    let price = Won::new(row.price);
    let price = price.ok_or_else(|| format!("price wants 0 to {} won", Won::MAX.get()))?;
    let name = words(&row.name, Product::NAME_CHARS).ok_or_else(|| {
        let most = Product::NAME_CHARS;
        format!("name wants 1 to {most} characters, none a control character")
    })?;
    if !(0..=Product::MOST_STOCK).contains(&row.stock) {
        return Err(format!("stock wants 0 to {}", Product::MOST_STOCK));
    }
    if !Listing::SELLERS.contains(&row.seller) {
        return Err(format!("seller wants 1 to {}", Listing::SELLERS.end()));
    }
    Ok((
        Listing {
            id,
            name,
            price,
            seller_id: row.seller,
        },
        row.stock,
    ))
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
