//! `payonce products`: the catalogue, from a file and to the terminal.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::app;
use crate::domain::product::Listing;
use crate::domain::{Product, ProductId, Timestamp, Won};
use crate::settings::Settings;
use crate::store::{Change, Opened, Restock, Verdict};

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
    let store = app::open_store(settings, Opened::Tool, runtime).await.context(
        "a server may hold the database: stop it, or use PUT /api/v1/products/{id} while it runs",
    )?;
    store.migrate().await?;
    let ids: Vec<ProductId> = rows.iter().map(|(listing, _)| listing.id).collect();
    let known = store.shelf(&ids).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let at = Timestamp::from_micros(i64::try_from(now.as_micros())?);
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
    let committed = store
        .commit(&changes)
        .await
        .map_err(|fault| anyhow!("{fault:?}"))?;
    let refused = |verdict: &&Verdict| !matches!(verdict, Verdict::Committed { .. });
    if let Some(verdict) = committed.verdicts.iter().find(refused) {
        bail!("the database refused a row: {verdict:?}");
    }
    store.close().await;
    println!(
        "{} products imported; the stock of {kept} known ones was left alone",
        ids.len()
    );
    Ok(true)
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
        bail!("{shown}: product {} stands there twice", twice[0]);
    }
    Ok(rows)
}

fn listing(row: Row) -> Result<(Listing, i64), &'static str> {
    let id = ProductId::new(row.id).ok_or("id wants a positive whole number")?;
    let price = Won::new(row.price).ok_or("price wants won, 0 or more")?;
    let name = row.name.trim();
    if name.is_empty() || name.chars().count() > Product::NAME_CHARS {
        return Err("name wants 1 to 90 characters");
    }
    if name.chars().any(char::is_control) {
        return Err("name wants no control characters");
    }
    if !(0..=Product::MOST_STOCK).contains(&row.stock) {
        return Err("stock wants a whole number, 0 or more");
    }
    Ok((
        Listing {
            id,
            name: name.into(),
            price,
            seller_id: row.seller,
        },
        row.stock,
    ))
}

pub async fn list(settings: &Settings, runtime: &Runtime) -> anyhow::Result<bool> {
    let store = app::open_store(settings, Opened::ReadOnly, runtime).await?;
    println!(
        "{:>10}  {:>12}  {:>9}  {:>9}  {:>9}  name",
        "id", "price", "stock", "held", "sold"
    );
    for counted in store.all_counted().await? {
        let (held, sold) = (counted.held, counted.sold());
        let Product { listing, stock, .. } = counted.product;
        let (id, price, name) = (listing.id, listing.price.get(), listing.name);
        println!("{id:>10}  {price:>12}  {stock:>9}  {held:>9}  {sold:>9}  {name}");
    }
    Ok(true)
}
