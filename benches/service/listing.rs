//! Does a page of a list cost the same with 1000 images and with a million?
//!
//! Each back end runs one service per database size at the same time. Each list is measured on all of them in turn.

use chrono::{DateTime, Utc};
use image_service::http::request::fields::{range_end, range_start};
use image_service::model::caller::UserId;
use image_service::model::counter::Counter;
use image_service::model::filter::{ImageFilter, Part};
use image_service::model::page::PageToken;
use image_service::model::tag::Tag;
use image_service::store::database::db::Location;
use image_service::store::{self, Db};
use std::time::Duration;

use crate::Result;
use crate::backend::{Backend, db_config};
use crate::client::{Connection, Until, get};
use crate::fill::{BUSY_USER, DAYS, day, filled_database, image};
use crate::measure::{Series, number};
use crate::server::Server;

const LIMIT: usize = 20;
const CONNECTIONS: usize = 4;

pub async fn run() -> Result<()> {
    let sizes = sizes()?;
    let (rounds, millis) = (number("BENCH_ROUNDS", 7)?, number("BENCH_MILLIS", 300)?);
    for backend in Backend::all().await? {
        let mut instances = Vec::new();
        for &rows in &sizes {
            let (settings, location) = filled_database(&backend, rows).await?;
            instances.push(Instance { rows, server: Server::image_service(&settings)?, location });
        }
        println!("\n{}, pages of {LIMIT}, {CONNECTIONS} connections, {rounds} rounds", backend.name());
        print_header(&sizes);
        for list in lists() {
            let mut all_requests = Vec::new();
            for instance in &instances {
                let requests = instance.requests(&list)?;
                instance.check(&list, &requests).await?;
                all_requests.push(requests);
            }
            let mut series: Vec<Series> = instances.iter().map(|_| Series::default()).collect();
            for _ in 0..rounds {
                for ((instance, requests), series) in instances.iter().zip(&all_requests).zip(&mut series) {
                    let until = Until::Elapsed(Duration::from_millis(millis as u64));
                    let encoded: Vec<Vec<u8>> = requests.iter().map(|request| get(&request.path)).collect();
                    series.round(&instance.server, &backend, CONNECTIONS, &encoded, until)?;
                }
            }
            print(&list, &series)?;
        }
    }
    Ok(())
}

fn sizes() -> Result<Vec<u64>> {
    let text = std::env::var("BENCH_ROWS").unwrap_or_else(|_| "1000,100000,1000000".to_owned());
    text.split(',').map(|size| Ok(size.trim().parse()?)).collect()
}

/// A service with a database of `rows` images.
struct Instance {
    rows: u64,
    server: Server,
    location: Location,
}

/// A list to measure: its filters, and where its pages start.
struct List {
    name: &'static str,
    filters: Vec<Filter>,
    /// Pages start after this fraction of all images, newest first. `None` is the first page.
    depth: Option<f64>,
}

#[derive(Default)]
struct Filter {
    user: Option<&'static str>,
    tags: &'static [&'static str],
    start: Option<String>,
    end: Option<String>,
}

/// One page of a list.
struct Request {
    path: String,
    filter: ImageFilter,
}

fn lists() -> Vec<List> {
    let user = || Filter { user: Some(BUSY_USER), ..Filter::default() };
    let tag = || Filter { tags: &["sea"], ..Filter::default() };
    let user_and_tag = || Filter { user: Some(BUSY_USER), tags: &["sea"], ..Filter::default() };
    let two_tags = || Filter { tags: &["sea", "tag-0"], ..Filter::default() };
    let dates = |start: Option<String>, end: Option<String>| Filter { start, end, ..Filter::default() };
    let each_day = |filter: fn(String) -> (Option<String>, Option<String>)| {
        (2..DAYS).map(|number| filter(day(number))).map(|(start, end)| dates(start, end)).collect::<Vec<_>>()
    };
    let list = |name, filters, depth| List { name, filters, depth };
    vec![
        list("first page", vec![Filter::default()], None),
        list("deep page", vec![Filter::default()], Some(0.9)),
        list("user", vec![user()], None),
        list("user, deep", vec![user()], Some(0.45)),
        list("tag", vec![tag()], None),
        list("tag, deep", vec![tag()], Some(0.45)),
        list("user and tag", vec![user_and_tag()], None),
        list("user and tag, deep", vec![user_and_tag()], Some(0.45)),
        list("one day", each_day(|day| (Some(day.clone()), Some(day))), None),
        list("start_date", each_day(|day| (Some(day), None)), None),
        list("end_date", each_day(|day| (None, Some(day))), None),
        list("start_date with time *", each_day(|day| (Some(format!("{day}T09:00:00Z")), None)), None),
        list("two tags *", vec![two_tags()], None),
        list("user, start_date *", vec![Filter { start: Some(day(15)), ..user() }], None),
    ]
}

impl Instance {
    /// Returns the requests for a list: the first page for each filter, or 20 different pages if the list is deep.
    fn requests(&self, list: &List) -> Result<Vec<Request>> {
        let mut requests = Vec::new();
        for filter in &list.filters {
            let filter_model = filter.model()?;
            let fingerprint = filter_model.fingerprint();
            match list.depth {
                None => requests.push(Request { path: filter.path(None), filter: filter_model }),
                Some(depth) => {
                    for step in 0..20 {
                        let fraction = 1.0 - depth - f64::from(step) * 0.002;
                        let last = image((self.rows as f64 * fraction) as u64, self.rows)?.id;
                        let path = filter.path(Some(PageToken { last: last.uuid() }.encode(&fingerprint)));
                        requests.push(Request { path, filter: filter.model()? });
                    }
                }
            }
        }
        Ok(requests)
    }

    /// Checks that pages are full and that `total_count` matches a plain SQL count.
    async fn check(&self, list: &List, requests: &[Request]) -> Result<()> {
        let db = Db::open(&db_config(self.location.clone())).await?;
        let mut connection = Connection::open(self.server.address)?;
        for request in requests.iter().step_by(requests.len().div_ceil(3)) {
            let response = connection.send(&get(&request.path))?;
            let page: serde_json::Value = serde_json::from_slice(&response.body)?;
            let (count, _) = store::images::lists::count(&db, &request.filter, &Part::Public, &[Counter::all()]).await?;
            let page_size = page["images"].as_array().map_or(0, Vec::len);
            let total_count = &page["total_count"];
            if *total_count != count || page_size != LIMIT {
                return Err(
                    format!("{}: {page_size} images, total_count {total_count}, but SQL counts {count}", list.name).into()
                );
            }
        }
        db.close().await;
        Ok(())
    }
}

impl Filter {
    fn model(&self) -> Result<ImageFilter> {
        let time = |text: &Option<String>, parse: fn(&str) -> std::result::Result<DateTime<Utc>, String>| {
            text.as_deref().map(parse).transpose()
        };
        Ok(ImageFilter {
            user_id: self.user.map(UserId::parse).transpose()?,
            tags: self.tags.iter().map(|tag| Tag::parse(tag)).collect::<std::result::Result<_, _>>()?,
            collection: None,
            start: time(&self.start, range_start)?,
            end: time(&self.end, range_end)?,
        })
    }

    fn path(&self, token: Option<String>) -> String {
        let tags = (!self.tags.is_empty()).then(|| self.tags.join(","));
        let parameters = [
            ("user_id", self.user.map(str::to_owned)),
            ("tags", tags),
            ("start_date", self.start.clone()),
            ("end_date", self.end.clone()),
            ("page_token", token),
        ];
        let query = parameters.into_iter().filter_map(|(name, value)| Some(format!("&{name}={}", value?)));
        format!("/images?limit={LIMIT}{}", query.collect::<String>())
    }
}

fn print_header(sizes: &[u64]) {
    print!("{:24}", "list");
    for size in sizes {
        print!(" {:>12}", format!("{size}: /s"));
    }
    for size in sizes {
        print!(" {:>20}", format!("{size}: µs CPU"));
    }
    println!("  relative to the smallest: CPU (time)");
}

fn print(list: &List, series: &[Series]) -> Result<()> {
    print!("{:24}", list.name);
    for series in series {
        print!(" {:>12.0}", series.per_second());
    }
    for series in series {
        print!(" {:>20}", format!("{:.0} + {:.0}", series.service_us(), series.database_us()));
    }
    let (smallest, larger) = series.split_first().ok_or("no sizes")?;
    for series in larger {
        print!("  {:.2} ({:.2})", series.cpu_us() / smallest.cpu_us(), smallest.per_second() / series.per_second());
    }
    let failed: usize = series.iter().map(Series::failed).sum();
    println!("{}", if failed > 0 { format!("  {failed} failed") } else { String::new() });
    Ok(())
}
