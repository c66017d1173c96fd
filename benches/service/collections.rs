//! Does a page of a collection of 100 000 images cost the same as one of ten?
//!
//! One service on one database, which has collections of all sizes. They take turns at every page, and each is compared with that of
//! the collection of ten, which shows ten images, and with the first page of a larger one, which shows twenty as the others do: by
//! the page's CPU, and by answers a second.

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
use crate::fill::{BUSY_USER, filled, image};
use crate::measure::{Series, number};
use crate::server::Server;

/// Images of the database, all of which are in the largest collection.
const ROWS: u64 = 100_000;
const SIZES: [u64; 3] = [10, 1_000, 100_000];
const LIMIT: u64 = 20;
/// Images that are added in one transaction.
const TOGETHER: usize = 500;
const CONNECTIONS: usize = 4;

/// The collections' owner: anybody who has images of their own, so that the private part is looked through, too.
const OWNER: &str = BUSY_USER;

pub async fn run() -> Result<()> {
    let (rounds, millis) = (number("BENCH_ROUNDS", 7)?, number("BENCH_MILLIS", 300)?);
    for backend in Backend::all().await? {
        let (settings, location) = filled(&backend, ROWS).await?;
        collected(location).await?;
        let server = Server::image_service(&settings)?;
        println!("\n{}, pages of {LIMIT}, {CONNECTIONS} connections, {rounds} rounds", backend.name());
        println!(
            "{:36} {:>7} {:>12} {:>16}  CPU (rate) against the page of the collection of {}, and against a page of {LIMIT}",
            "page", "images", "/s", "µs CPU", SIZES[0]
        );
        for list in [List::Owners, List::Public] {
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

/// A page to ask for.
struct Page {
    name: String,
    size: u64,
    request: Vec<u8>,
}

#[derive(Clone, Copy)]
enum List {
    /// `GET /collections/{name}/images`, by the owner.
    Owners,
    /// `GET /c/{name}`, by anybody.
    Public,
}

impl List {
    fn request(self, size: u64, limit: u64, token: &str) -> Vec<u8> {
        let name = name_of(size);
        match self {
            Self::Owners => get_as(OWNER, &format!("/collections/{name}/images?limit={limit}{token}")),
            Self::Public => get(&format!("/c/{name}?limit={limit}{token}")),
        }
    }

    /// The first page, one from the middle, and the last; of a collection that has only one, that one. Tokens are those that the
    /// service gives, so the collection is walked once, and seen to be whole.
    fn pages(self, server: &Server, size: u64) -> Result<Vec<Page>> {
        let mut connection = Connection::open(server.address)?;
        // In large strides to where the middle and the last page begin, both of which are a multiple of a page from the start.
        let (middle, last) = (size / 2 / LIMIT * LIMIT, size.saturating_sub(1) / LIMIT * LIMIT);
        let (mut place, mut token) = (0, String::new());
        let mut tokens = vec![("first", String::new())];
        while place < size {
            let stop = [middle, last, size].into_iter().filter(|stop| *stop > place).min().unwrap_or(size);
            let limit = (stop - place).min(100);
            let answer = connection.send(&self.request(size, limit, &token))?;
            let page: serde_json::Value = serde_json::from_slice(&answer.body)?;
            if page["images"].as_array().map_or(0, |images| images.len() as u64) != limit {
                return Err(format!("a page of the collection of {size} at {place} is not full").into());
            }
            place += limit;
            match page["next_page_token"].as_str() {
                Some(next) => token = format!("&page_token={next}"),
                None if place == size => break,
                None => return Err(format!("the collection of {size} ends at {place}").into()),
            }
            for (name, start) in [("middle", middle), ("last", last)] {
                if start == place {
                    tokens.push((name, token.clone()));
                }
            }
        }
        let list = match self {
            Self::Owners => "GET /collections/{name}/images",
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
    // The first is that of the smallest collection, which has no others; the next one shows as many images as those after it.
    let [smallest, full, ..] = series else { return Err("no pages".into()) };
    for (page, series) in pages.iter().zip(series) {
        let refused = if series.refused() > 0 { format!("  {} not answered with 200", series.refused()) } else { String::new() };
        println!(
            "{:36} {:>7} {:>12.0} {:>16}  {:.2} ({:.2})  {:.2} ({:.2}){refused}",
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

/// Puts collections of all sizes into a database, as that many requests would have, if they are not there yet.
async fn collected(location: Location) -> Result<()> {
    let db = Db::open(&db_config(location)).await?;
    // It may have been filled by a version without collections.
    store::database::migrate::run(&db).await?;
    for size in SIZES {
        let name = CollectionName::parse(&name_of(size))?;
        if store::sharing::collections::find(&db, &name).await?.is_none() {
            println!("making a collection of {size} images");
            fill(&db, name, size).await?;
        }
    }
    for kind in [CounterKind::Collection, CounterKind::UserCollections] {
        if !store::images::counters::differences(&db, kind).await?.is_empty() {
            return Err(format!("counters of the kind {} are wrong", kind.name()).into());
        }
    }
    db.close().await;
    Ok(())
}

/// In many transactions: PostgreSQL keeps every version of a row that one of them has changed, and the collection's own is changed for
/// each image. What is in it is spread evenly over the database, and added in another order than that of uploading. One that was
/// left half filled is noticed when it is walked.
async fn fill(db: &Db, name: CollectionName, size: u64) -> Result<()> {
    let clock = SystemClock;
    let owner = UserId::parse(OWNER)?;
    let id = CollectionId::new(&clock);
    let collection = Collection { id, name, user_id: owner.clone(), visibility: Visibility::Public, updated_at: clock.now() };
    let mut tx = db.begin().await?;
    if !store::sharing::collections::insert(&mut tx, &collection).await? {
        return Err("another has made the collection".into());
    }
    store::images::counters::add_in_slot(&mut tx, 0, [(Counter::user_collections(&owner), 1)]);
    tx.commit().await?;
    for first in (0..size).step_by(TOGETHER) {
        let mut tx = db.begin().await?;
        for number in first..size.min(first + TOGETHER as u64) {
            // Coprime to every size, so that each image comes once.
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
