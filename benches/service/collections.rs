//! Does a page of a collection of 100 000 images cost the same as a page of a collection of ten?
//!
//! One service has collections of all sizes in one database, and the benchmark requests their pages in turns. It compares the
//! CPU per page and the responses per second with the only page of the smallest collection, which has ten images, and with the
//! first page of the next larger one, which has twenty images like all other pages.

use std::time::Duration;

use image_service::model::caller::UserId;
use image_service::model::clock::{Clock, SystemClock};
use image_service::model::collection::{Collection, CollectionId, CollectionName};
use image_service::model::counter::{Counter, CounterKind};
use image_service::model::image::Visibility;
use image_service::store::database::db::Location;
use image_service::store::{self, Db};

use crate::Result;
use crate::backend::{Backend, db_config};
use crate::client::{Connection, Until, get, get_as};
use crate::fill::{BUSY_USER, filled_database, image};
use crate::measure::{Series, number};
use crate::server::Server;

/// Images in the database. All of them are in the largest collection.
const ROWS: u64 = 100_000;
const SIZES: [u64; 3] = [10, 1_000, 100_000];
const LIMIT: u64 = 20;
/// Images added per transaction.
const BATCH: usize = 500;
const CONNECTIONS: usize = 4;

/// The owner of the collections. It has uploaded images, so that its requests also search for private images.
const OWNER: &str = BUSY_USER;

pub async fn run() -> Result<()> {
    let (rounds, millis) = (number("BENCH_ROUNDS", 7)?, number("BENCH_MILLIS", 300)?);
    for backend in Backend::all().await? {
        let (settings, location) = filled_database(&backend, ROWS).await?;
        create_collections(location).await?;
        let server = Server::image_service(&settings)?;
        println!("\n{}, pages of {LIMIT}, {CONNECTIONS} connections, {rounds} rounds", backend.name());
        println!(
            "{:36} {:>7} {:>12} {:>16}  CPU (time) compared with the page of the collection of {}, and with a page of {LIMIT}",
            "page", "images", "/s", "µs CPU", SIZES[0]
        );
        for list in [List::Owner, List::Public] {
            let mut pages = Vec::new();
            for size in SIZES {
                pages.extend(list.pages(&server, size)?);
            }
            let mut series: Vec<Series> = pages.iter().map(|_| Series::default()).collect();
            for _ in 0..rounds {
                for (page, series) in pages.iter().zip(&mut series) {
                    let until = Until::Elapsed(Duration::from_millis(millis as u64));
                    series.round(&server, &backend, CONNECTIONS, std::slice::from_ref(&page.request), until)?;
                }
            }
            print(&pages, &series)?;
        }
    }
    Ok(())
}

/// A page to request.
struct Page {
    name: String,
    size: u64,
    request: Vec<u8>,
}

#[derive(Clone, Copy)]
enum List {
    /// `GET /collections/{name}/images`, by the owner.
    Owner,
    /// `GET /c/{name}`, by an anonymous caller.
    Public,
}

impl List {
    fn request(self, size: u64, limit: u64, token: &str) -> Vec<u8> {
        let name = name_of(size);
        match self {
            Self::Owner => get_as(OWNER, &format!("/collections/{name}/images?limit={limit}{token}")),
            Self::Public => get(&format!("/c/{name}?limit={limit}{token}")),
        }
    }

    /// Returns the first, a middle and the last page, or the only page of a small collection. Getting their tokens from the
    /// service requires paging through the whole collection, which also verifies that it is complete.
    fn pages(self, server: &Server, size: u64) -> Result<Vec<Page>> {
        let mut connection = Connection::open(server.address)?;
        // Large pages save requests, but must end where the middle and the last page begin.
        let (middle, last) = (size / 2 / LIMIT * LIMIT, size.saturating_sub(1) / LIMIT * LIMIT);
        let (mut position, mut token) = (0, String::new());
        let mut tokens = vec![("first", String::new())];
        while position < size {
            let stop = [middle, last, size].into_iter().filter(|stop| *stop > position).min().unwrap_or(size);
            let limit = (stop - position).min(100);
            let response = connection.send(&self.request(size, limit, &token))?;
            let page: serde_json::Value = serde_json::from_slice(&response.body)?;
            if page["images"].as_array().map_or(0, |images| images.len() as u64) != limit {
                return Err(format!("a page of the collection of {size} images at {position} is not full").into());
            }
            position += limit;
            match page["next_page_token"].as_str() {
                Some(next) => token = format!("&page_token={next}"),
                None if position == size => break,
                None => return Err(format!("the collection of {size} images ends at {position}").into()),
            }
            for (name, start) in [("middle", middle), ("last", last)] {
                if start == position {
                    tokens.push((name, token.clone()));
                }
            }
        }
        let list = match self {
            Self::Owner => "GET /collections/{name}/images",
            Self::Public => "GET /c/{name}",
        };
        let page = |(name, token): (&str, String)| Page {
            name: format!("{list}, {name}"),
            size,
            request: self.request(size, LIMIT, &token),
        };
        Ok(tokens.into_iter().map(page).collect())
    }
}

fn print(pages: &[Page], series: &[Series]) -> Result<()> {
    // The smallest collection has only one page. The next page is the first that has `LIMIT` images.
    let [smallest, full, ..] = series else { return Err("no pages".into()) };
    for (page, series) in pages.iter().zip(series) {
        let failed = if series.failed() > 0 { format!("  {} failed", series.failed()) } else { String::new() };
        println!(
            "{:36} {:>7} {:>12.0} {:>16}  {:.2} ({:.2})  {:.2} ({:.2}){failed}",
            page.name,
            page.size,
            series.per_second(),
            format!("{:.0} + {:.0}", series.service_us(), series.database_us()),
            series.cpu_us() / smallest.cpu_us(),
            smallest.per_second() / series.per_second(),
            series.cpu_us() / full.cpu_us(),
            full.per_second() / series.per_second(),
        );
    }
    Ok(())
}

fn name_of(size: u64) -> String {
    format!("bench-{size}")
}

/// Creates the missing collections, with the same rows as if every image had been added by a request.
async fn create_collections(location: Location) -> Result<()> {
    let db = Db::open(&db_config(location)).await?;
    // A reused database may have been filled by a version without collections.
    store::database::migrate::run(&db).await?;
    for size in SIZES {
        let name = CollectionName::parse(&name_of(size))?;
        if store::sharing::collections::find(&db, &name).await?.is_none() {
            println!("creating a collection of {size} images");
            create_collection(&db, name, size).await?;
        }
    }
    for kind in [CounterKind::Collection, CounterKind::UserCollections] {
        if !store::images::counters::differences(&db, kind).await?.is_empty() {
            return Err(format!("`{}` counters are wrong", kind.name()).into());
        }
    }
    db.close().await;
    Ok(())
}

/// Creates a collection of images that are spread evenly over the database, added in a different order than they were uploaded.
///
/// It uses many transactions: every added image updates the collection's own row, and PostgreSQL keeps each version of the row
/// until its transaction ends. If the benchmark is interrupted here, `List::pages` reports the incomplete collection in the next
/// run.
async fn create_collection(db: &Db, name: CollectionName, size: u64) -> Result<()> {
    let clock = SystemClock;
    let owner = UserId::parse(OWNER)?;
    let id = CollectionId::new(&clock);
    let collection = Collection { id, name, user_id: owner.clone(), visibility: Visibility::Public, updated_at: clock.now() };
    let mut tx = db.begin().await?;
    if !store::sharing::collections::insert(&mut tx, &collection).await? {
        return Err("the collection already exists".into());
    }
    store::images::counters::add_in_slot(&mut tx, 0, [(Counter::user_collections(&owner), 1)]);
    tx.commit().await?;
    for first in (0..size).step_by(BATCH) {
        let mut tx = db.begin().await?;
        for number in first..size.min(first + BATCH as u64) {
            // The factor is coprime to every size, so that each image is added once.
            let number = number * 7_919 % size * (ROWS / size);
            let image = image(number, ROWS)?;
            if !store::sharing::collection_items::insert(&mut tx, id, &image, clock.now()).await? {
                return Err(format!("image {number} is in the collection twice").into());
            }
            store::images::counters::add(&mut tx, image.id, [(Counter::collection(id), 1)]);
        }
        tx.commit().await?;
    }
    Ok(())
}
