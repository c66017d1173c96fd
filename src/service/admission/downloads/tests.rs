//! Which bytes clients receive, and which clients wait.

use std::pin::pin;

use super::pieces::COPIED_BYTES as PIECE_BYTES;
use super::*;

const FILE: u64 = 2 << 20;

type Asked = Option<RangeInclusive<u64>>;

/// A storage with one file of [`FILE`] bytes in large chunks, and a log of the requested parts.
fn storage() -> (OpenObject, Arc<Mutex<Vec<Asked>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let open: OpenObject = Arc::new(move |part: Option<RangeInclusive<u64>>| {
        noted.lock().unwrap().push(part.clone());
        let part = part.unwrap_or(0..=FILE - 1);
        let bytes: Vec<u8> = part.map(byte).collect();
        let length = bytes.len() as u64;
        let pieces: Vec<_> = bytes.chunks(300_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Box::pin(async move { Ok((length, futures::stream::iter(pieces).boxed())) })
    });
    (open, asked)
}

fn byte(place: u64) -> u8 {
    (place % 251) as u8
}

const SHORT: Duration = Duration::from_millis(20);

fn downloads(slots: usize) -> Downloads {
    let mut downloads = Downloads::new(slots, Duration::from_secs(60), 1000);
    downloads.timeouts.stall = SHORT;
    // Small pieces only.
    downloads.chunks = ChunkMemory::new(0);
    downloads
}

fn anybody() -> TurnKey {
    TurnKey::Network("192.0.2.1".parse().unwrap())
}

fn free(downloads: &Downloads) -> u64 {
    downloads.slots.all.total().slots - downloads.slots.all.in_use().slots
}

/// Returns the length and the bytes.
fn stream(download: Download) -> (u64, BodyStream) {
    match download {
        Download::Bytes(bytes) => (bytes.len() as u64, futures::stream::once(std::future::ready(Ok(bytes))).boxed()),
        Download::Stream(length, stream) => (length, stream),
    }
}

async fn take(sent: &mut BodyStream, bytes: u64, from: u64) {
    let mut place = from;
    while place < from + bytes {
        let piece = sent.next().await.expect("more").expect("bytes");
        assert!(piece.len() <= PIECE_BYTES);
        assert!(piece.iter().all(|&found| (found == byte(place), place += 1).0), "at {place}");
    }
    assert_eq!(place, from + bytes);
}

#[tokio::test]
async fn a_client_gets_every_byte_and_releases_its_slot() {
    let (downloads, (open, asked)) = (downloads(1), storage());
    for (part, start, length) in [(None, 0, FILE), (Some(100..=200_000), 100, 199_901)] {
        let (stated, mut sent) = stream(downloads.start(&anybody(), Arc::clone(&open), part).await.expect("it starts"));
        assert_eq!(stated, length);
        assert_eq!(free(&downloads), 0);
        take(&mut sent, length, start).await;
        assert!(sent.next().await.is_none());
        assert_eq!(free(&downloads), 1, "also while the connection stays open");
    }
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_stalled_client_releases_its_slot_and_resumes_at_the_next_byte() {
    let (downloads, (open, asked)) = (downloads(1), storage());
    let (_, mut slow) = stream(downloads.start(&anybody(), Arc::clone(&open), None).await.expect("it starts"));
    take(&mut slow, 3 * PIECE_BYTES as u64, 0).await;
    // There is one slot; another client gets it as soon as the first one stalls.
    let (_, mut other) = stream(downloads.start(&anybody(), Arc::clone(&open), None).await.expect("it starts"));
    take(&mut other, FILE, 0).await;
    let done = 3 * PIECE_BYTES as u64;
    drop(other);
    take(&mut slow, FILE - done, done).await;
    assert!(slow.next().await.is_none());
    assert_eq!(*asked.lock().unwrap(), [None, None, Some(done..=FILE - 1)]);
}

#[tokio::test]
async fn a_client_that_waits_for_the_storage_keeps_its_slot() {
    let downloads = downloads(1);
    let open: OpenObject = Arc::new(|_| {
        let late = async {
            tokio::time::sleep(10 * SHORT).await;
            Ok(Bytes::from(vec![7; FILE as usize]))
        };
        Box::pin(async move { Ok((FILE, futures::stream::once(late).boxed())) })
    });
    let (_, mut sent) = stream(downloads.start(&anybody(), open, None).await.expect("it starts"));
    let first = sent.next();
    tokio::pin!(first);
    assert!(futures::poll!(&mut first).is_pending());
    tokio::time::sleep(5 * SHORT).await;
    assert_eq!(free(&downloads), 0);
    assert_eq!(first.await.expect("more").expect("bytes").len(), PIECE_BYTES);
}

#[tokio::test]
async fn a_client_that_stalls_after_waiting_for_the_storage_releases_its_slot() {
    let downloads = downloads(1);
    let late = Arc::new(tokio::sync::Notify::new());
    let open: OpenObject = {
        let late = Arc::clone(&late);
        Arc::new(move |part: Asked| {
            let (late, start) = (Arc::clone(&late), part.map_or(0, |part| *part.start()));
            let length = FILE - start;
            let rest = async move {
                late.notified().await;
                Ok(Bytes::from((start..FILE).map(byte).collect::<Vec<u8>>()))
            };
            Box::pin(async move { Ok((length, futures::stream::once(rest).boxed())) })
        })
    };
    let (_, mut slow) = stream(downloads.start(&anybody(), open, None).await.expect("it starts"));
    assert!(futures::poll!(slow.next()).is_pending(), "the storage has nothing yet");
    tokio::time::sleep(5 * SHORT).await;
    assert_eq!(free(&downloads), 0);
    late.notify_one();
    // The client does not poll for the chunk that has arrived.
    let (others, _) = storage();
    let (_, mut other) = stream(downloads.start(&anybody(), others, None).await.expect("it starts"));
    take(&mut other, FILE, 0).await;
    drop(other);
    late.notify_one();
    take(&mut slow, FILE, 0).await;
    assert!(slow.next().await.is_none());
}

#[tokio::test]
async fn a_client_below_the_minimum_rate_is_disconnected() {
    let (mut downloads, (open, _)) = (downloads(1), storage());
    (downloads.timeouts.speed_grace, downloads.timeouts.min_bytes_per_second) = (SHORT, 1 << 40);
    let (_, mut drip) = stream(downloads.start(&anybody(), open, None).await.expect("it starts"));
    tokio::time::sleep(2 * SHORT).await;
    let ended = drip.next().await.expect("more").expect_err("an end").to_string();
    assert_eq!(ended, "the client reads too slowly");
    assert!(drip.next().await.expect("more").is_err(), "it does not continue");
    assert_eq!(free(&downloads), 1);
}

#[tokio::test]
async fn without_a_slot_in_time_the_service_is_overloaded() {
    let mut downloads = downloads(1);
    downloads.timeouts.slot = SHORT;
    let held = downloads.slots.acquire(&Turn::new(anybody(), Class::Request)).await;
    let (open, asked) = storage();
    let refused = downloads.start(&anybody(), Arc::clone(&open), None).await.map(drop).map_err(Error::from);
    assert!(matches!(refused, Err(Error::Overloaded { .. })));
    assert!(asked.lock().unwrap().is_empty());
    drop(held);
    assert!(downloads.start(&anybody(), open, None).await.is_ok());
}

#[tokio::test]
async fn many_files_of_one_caller_delay_another_only_by_those_that_have_started() {
    let (downloads, (open, _)) = (Arc::new(downloads(1)), storage());
    let held = downloads.slots.acquire(&Turn::new(anybody(), Class::Request)).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let ask = |address: &str| {
        let (downloads, open, order) = (Arc::clone(&downloads), Arc::clone(&open), Arc::clone(&order));
        let key = TurnKey::Network(address.parse().unwrap());
        tokio::spawn(async move {
            let sent = downloads.start(&key, open, None).await.expect("it starts");
            order.lock().unwrap().push(key);
            drop(sent);
        })
    };
    let mut asked: Vec<_> = (0..40).map(|_| ask("192.0.2.1")).collect();
    tokio::time::sleep(SHORT).await;
    asked.push(ask("192.0.2.2"));
    tokio::time::sleep(SHORT).await;
    drop(held);
    for one in asked {
        one.await.unwrap();
    }
    let place = order.lock().unwrap().iter().position(|key| *key != anybody()).expect("it had its turn");
    assert!(place <= 1, "it came after {place} others");
}

#[tokio::test]
async fn a_burst_starts_one_after_another_and_takes_no_slot_of_others() {
    let (mut downloads, (open, _)) = (downloads(16), storage());
    downloads.timeouts.stall = Duration::from_secs(60);
    let start = |address: &str| {
        let (downloads, open) = (&downloads, Arc::clone(&open));
        let key = TurnKey::Network(address.parse().unwrap());
        async move { stream(downloads.start(&key, open, None).await.expect("it starts")).1 }
    };
    let mut crowd = futures::future::join_all((0..STARTING_PER_CALLER).map(|_| start("192.0.2.1"))).await;
    let mut next = pin!(start("192.0.2.1"));
    let _other = start("192.0.2.2").await;
    let mut taken_bytes = 0;
    while taken_bytes <= READING_BYTES {
        assert!(futures::poll!(&mut next).is_pending(), "after {taken_bytes} bytes");
        taken_bytes += crowd[0].next().await.expect("more").expect("bytes").len() as u64;
    }
    // The first one reads, and has left the starting phase.
    let _next = next.await;
    assert_eq!(free(&downloads), 16 - STARTING_PER_CALLER - 2);
}

#[tokio::test]
async fn a_small_file_is_read_immediately() {
    let (downloads, (open, _)) = (downloads(1), storage());
    let (length, mut sent) = stream(downloads.start(&anybody(), open, Some(5..=SMALL_BYTES + 4)).await.expect("it starts"));
    assert_eq!((length, free(&downloads)), (SMALL_BYTES, 1));
    let bytes = sent.next().await.expect("bytes").expect("bytes");
    assert!(bytes.iter().zip(5..).all(|(found, place)| *found == byte(place)) && bytes.len() as u64 == SMALL_BYTES);
}

#[tokio::test]
async fn a_file_that_ends_early_is_an_error() {
    let open: OpenObject =
        Arc::new(|_| Box::pin(async { Ok((FILE, futures::stream::once(async { Ok(Bytes::from_static(b"short")) }).boxed())) }));
    let (_, sent) = stream(downloads(1).start(&anybody(), open, None).await.expect("it starts"));
    assert!(sent.try_collect::<BytesMut>().await.is_err());
}
