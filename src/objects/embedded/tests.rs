//! Tests of the storage without S3, and of the server's startup and shutdown. S3's rules are tested over HTTP.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use md5::Md5;
use tempfile::TempDir;

use super::index::{Page, Query, StartAfter};
use super::object::Object;
use super::page_cache::ReadFrom;
use super::storage::{Condition, ObjectFile, Outcome, Storage};
use super::storage_error::StorageError;
use super::trailer::{BLOCK_BYTES, FOOTER_BYTES, Headers, ObjectMetadata};
use super::upload_file::{Hashers, UploadFile};
use super::{Embedded, EmbeddedConfig, Error};

fn open(directory: &Path) -> Storage {
    Storage::open(directory, "images").unwrap()
}

fn begin_upload(storage: &Storage, key: &str, data: &[u8]) -> (UploadFile, ObjectMetadata) {
    let mut upload = storage.begin_upload(Hashers { md5: Some(Md5::default()), ..Hashers::default() }).unwrap();
    for block in data.chunks(BLOCK_BYTES) {
        upload.write_block(block).unwrap();
    }
    let metadata = ObjectMetadata {
        key: key.to_owned(),
        length: upload.length(),
        etag: hex::encode(upload.take_digests().md5.unwrap()),
        stored_at_ms: upload.stored_at_ms(),
        headers: Headers { content_type: Some("image/jpeg".to_owned()), ..Headers::default() },
        user_metadata: [("name".to_owned(), "grüße".to_owned())].into(),
        checksums: Default::default(),
    };
    (upload, metadata)
}

fn put_if(storage: &Storage, key: &str, data: &[u8], condition: &Condition) -> Outcome {
    let (upload, metadata) = begin_upload(storage, key, data);
    storage.commit(upload, &metadata, condition).unwrap()
}

fn put(storage: &Storage, key: &str, data: &[u8]) {
    assert_eq!(put_if(storage, key, data, &Condition::None), Outcome::Done);
}

fn read(object: &Object) -> Result<Vec<u8>, StorageError> {
    let mut data = Vec::new();
    while (data.len() as u64) < object.metadata.length {
        data.extend_from_slice(&object.read_first(&(data.len() as u64..object.metadata.length), ReadFrom::Disk)?);
    }
    Ok(data)
}

fn get(storage: &Storage, key: &str) -> Option<Vec<u8>> {
    storage.find(key).unwrap().map(|object| read(&object).unwrap())
}

fn path(directory: &TempDir, key: &str) -> PathBuf {
    let file = ObjectFile::of(key);
    directory.path().join(format!("buckets/images/{:02x}", file.shard)).join(file.name)
}

fn incoming(directory: &TempDir) -> usize {
    fs::read_dir(directory.path().join("incoming")).unwrap().count()
}

/// Different bytes in every block, so that swapped blocks are detected.
fn data(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 251 + at) as u8).collect()
}

#[test]
fn an_object_and_its_metadata_survive_a_restart() {
    let directory = TempDir::new().unwrap();
    for bytes in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 20 * BLOCK_BYTES + 5] {
        let storage = open(directory.path());
        let (upload, mut metadata) = begin_upload(&storage, "a/b", &data(bytes));
        // Once with a trailer that is larger than the first read.
        if bytes == 1 {
            metadata.user_metadata.insert("long".to_owned(), "x".repeat(6000));
        }
        storage.commit(upload, &metadata, &Condition::None).unwrap();
        drop(storage);
        let storage = open(directory.path());
        assert_eq!(storage.find("a/b").unwrap().unwrap().metadata, metadata);
        assert!(get(&storage, "a/b").unwrap() == data(bytes), "{bytes} bytes differ");
    }
    assert_eq!(incoming(&directory), 0);
}

#[test]
fn an_upload_that_is_not_committed_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    let (abandoned, _) = begin_upload(&storage, "a", b"data");
    assert_eq!(incoming(&directory), 1);
    drop(abandoned);
    assert_eq!((get(&storage, "a"), incoming(&directory)), (None, 0));
    put(&storage, "a", b"first");
    assert_eq!(put_if(&storage, "a", b"second", &Condition::Absent), Outcome::Conflict);
    assert_eq!((get(&storage, "a").unwrap().as_slice(), incoming(&directory)), (b"first".as_slice(), 0));
}

#[test]
fn unfinished_uploads_of_a_killed_process_are_removed_at_the_next_start() {
    let directory = TempDir::new().unwrap();
    put(&open(directory.path()), "a", b"data");
    fs::write(directory.path().join("incoming/0123"), b"half an upl").unwrap();
    let storage = open(directory.path());
    assert_eq!((incoming(&directory), get(&storage, "a").unwrap().as_slice()), (0, b"data".as_slice()));
}

#[test]
fn a_truncated_file_is_detected() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    put(&storage, "a", &data(BLOCK_BYTES + 1000));
    let whole = fs::read(path(&directory, "a")).unwrap();
    let cuts = (0..600).chain([1000, BLOCK_BYTES, BLOCK_BYTES + 1000, whole.len() - FOOTER_BYTES]);
    for cut in cuts.chain(whole.len() - 100..whole.len()) {
        fs::write(path(&directory, "a"), &whole[..cut]).unwrap();
        assert!(matches!(storage.find("a"), Err(StorageError::Damaged { .. })), "cut to {cut} bytes");
    }
    let mut longer = whole.clone();
    longer.push(0);
    fs::write(path(&directory, "a"), &longer).unwrap();
    assert!(matches!(storage.find("a"), Err(StorageError::Damaged { .. })));
    fs::write(path(&directory, "a"), &whole).unwrap();
    assert!(get(&storage, "a").is_some());
}

#[test]
fn a_flipped_bit_anywhere_is_detected() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    put(&storage, "a", &data(2 * BLOCK_BYTES + 100));
    let whole = fs::read(path(&directory, "a")).unwrap();
    let offsets = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 99];
    for offset in offsets.into_iter().chain(2 * BLOCK_BYTES + 100..whole.len()) {
        let mut damaged = whole.clone();
        damaged[offset] ^= 4;
        fs::write(path(&directory, "a"), &damaged).unwrap();
        let result = storage.find("a").and_then(|object| read(&object.unwrap()));
        assert!(matches!(result, Err(StorageError::Damaged { .. })), "byte {offset}");
    }
}

#[test]
fn damage_in_one_block_does_not_affect_the_others() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    put(&storage, "a", &data(3 * BLOCK_BYTES));
    let mut damaged = fs::read(path(&directory, "a")).unwrap();
    damaged[BLOCK_BYTES + 5] ^= 1;
    fs::write(path(&directory, "a"), &damaged).unwrap();
    let object = storage.find("a").unwrap().unwrap();
    assert!(object.read_first(&(0..10), ReadFrom::Disk).is_ok());
    assert!(object.read_first(&(BLOCK_BYTES as u64 + 50..BLOCK_BYTES as u64 + 60), ReadFrom::Disk).is_err());
    assert!(object.read_first(&(2 * BLOCK_BYTES as u64..3 * BLOCK_BYTES as u64), ReadFrom::Disk).is_ok());
}

#[test]
fn a_whole_file_in_another_keys_place_is_damage() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    put(&storage, "a", b"data");
    fs::copy(path(&directory, "a"), path(&directory, "b")).unwrap();
    assert!(matches!(storage.find("b"), Err(StorageError::Damaged { reason: "another key in its trailer", .. })));
}

#[test]
fn a_damaged_object_can_be_replaced_and_removed() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    for key in ["a", "b"] {
        fs::write(path(&directory, key), b"nonsense").unwrap();
    }
    assert_eq!(put_if(&storage, "a", b"new", &Condition::Absent), Outcome::Conflict);
    put(&storage, "a", b"new");
    assert_eq!(get(&storage, "a").unwrap(), b"new");
    assert_eq!(storage.remove("b", &Condition::None).unwrap(), Outcome::Done);
    assert_eq!(get(&storage, "b"), None);
}

#[test]
fn a_reader_keeps_reading_the_version_that_it_opened() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    put(&storage, "a", &data(2 * BLOCK_BYTES));
    let before = storage.find("a").unwrap().unwrap();
    put(&storage, "a", b"new");
    assert!(read(&before).unwrap() == data(2 * BLOCK_BYTES));
    let before = storage.find("a").unwrap().unwrap();
    storage.remove("a", &Condition::None).unwrap();
    assert_eq!(read(&before).unwrap(), b"new");
}

#[test]
fn changes_are_conditional() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    let etag = |key: &str| Condition::ETag(storage.find(key).unwrap().unwrap().metadata.etag);
    assert_eq!(put_if(&storage, "a", b"1", &Condition::Present), Outcome::Missing);
    assert_eq!(put_if(&storage, "a", b"1", &Condition::ETag("x".to_owned())), Outcome::Missing);
    assert_eq!(put_if(&storage, "a", b"1", &Condition::Absent), Outcome::Done);
    let first = etag("a");
    assert_eq!(put_if(&storage, "a", b"2", &first), Outcome::Done);
    assert_eq!(put_if(&storage, "a", b"3", &first), Outcome::Conflict);
    assert_eq!(storage.remove("a", &first).unwrap(), Outcome::Conflict);
    assert_eq!(get(&storage, "a").unwrap(), b"2");
    assert_eq!(storage.remove("a", &etag("a")).unwrap(), Outcome::Done);
    assert_eq!(storage.remove("a", &Condition::None).unwrap(), Outcome::Done);
}

#[test]
fn concurrent_writers_of_one_key_leave_one_intact_object_and_one_first_writer() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    let firsts = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8_u8)
            .map(|writer| {
                let storage = &storage;
                scope.spawn(move || put_if(storage, "first", &[writer; 1000], &Condition::Absent))
            })
            .collect();
        for writer in 0..8_u8 {
            let storage = &storage;
            scope.spawn(move || put(storage, "any", &vec![writer; BLOCK_BYTES + usize::from(writer)]));
        }
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(firsts.iter().filter(|outcome| **outcome == Outcome::Done).count(), 1);
    let any = get(&storage, "any").unwrap();
    assert_eq!(any, vec![any[0]; BLOCK_BYTES + usize::from(any[0])]);
}

#[test]
fn no_key_becomes_part_of_a_path() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    let long = "k".repeat(100_000);
    for key in
        ["../x", "/etc/passwd", "", ".", "..", "\0", "a\0b", "incoming/1", "lock", "ü/画像", "a//b", "%2e%2e/", long.as_str()]
    {
        let file = ObjectFile::of(key);
        assert!(file.name.len() == 64 && file.name.bytes().all(|byte| byte.is_ascii_hexdigit()));
        put(&storage, key, key.as_bytes());
        assert_eq!(get(&storage, key).unwrap(), key.as_bytes());
    }
    let mut names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["buckets", "incoming", "lock"]);
}

#[test]
fn many_objects_are_removed_and_missing_ones_are_no_error() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    keys[..20].iter().for_each(|key| put(&storage, key, b"x"));
    let results = storage.remove_all(keys.clone());
    assert!(results.len() == 40 && results.iter().all(|(_, result)| result.is_ok()));
    assert!(keys.iter().all(|key| get(&storage, key).is_none()));
}

fn page(storage: &Storage, prefix: &str, delimiter: &str, after: StartAfter, limit: usize) -> Page {
    storage.page(&Query { prefix: prefix.to_owned(), delimiter: delimiter.to_owned(), after, limit }).unwrap()
}

#[test]
fn a_listing_is_sorted_and_groups_common_prefixes() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    for key in ["b", "a/2", "a/1", "ü", "c/x/1", "\u{10FFFF}x", "\u{D7FF}y", "c"] {
        put(&storage, key, b"x");
    }
    fs::write(path(&directory, "damaged"), b"nonsense").unwrap();
    let all = page(&storage, "", "", StartAfter::Beginning, 100);
    assert_eq!(all.keys, ["a/1", "a/2", "b", "c", "c/x/1", "ü", "\u{D7FF}y", "\u{10FFFF}x"]);
    assert_eq!((all.common_prefixes.len(), all.next), (0, None));

    let first = page(&storage, "", "/", StartAfter::Beginning, 2);
    assert_eq!((first.keys, first.common_prefixes), (vec!["b".to_owned()], vec!["a/".to_owned()]));
    let rest = page(&storage, "", "/", first.next.unwrap(), 2);
    assert_eq!((rest.keys, rest.common_prefixes), (vec!["c".to_owned()], vec!["c/".to_owned()]));
    assert_eq!(rest.next, Some(StartAfter::CommonPrefix("c/".to_owned())));

    assert_eq!(page(&storage, "a/", "", StartAfter::Key("a/1".to_owned()), 9).keys, ["a/2"]);
    assert_eq!(page(&storage, "c", "", StartAfter::Key("a".to_owned()), 9).keys, ["c", "c/x/1"]);
    assert_eq!(page(&storage, "", "\u{10FFFF}", StartAfter::Key("ü".to_owned()), 9).common_prefixes, ["\u{10FFFF}"]);
    assert_eq!(page(&storage, "", "", StartAfter::Beginning, 0), Page::default());
}

#[test]
fn a_listing_is_correct_during_concurrent_changes() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    (0..200).for_each(|number| put(&storage, &format!("old{number}"), b"x"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..200 {
                put(&storage, &format!("new{number}"), b"x");
                storage.remove(&format!("old{number}"), &Condition::None).unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
        while !stop.load(Ordering::Relaxed) {
            page(&storage, "", "", StartAfter::Beginning, 1000);
        }
    });
    let keys = page(&storage, "", "", StartAfter::Beginning, 1000).keys;
    assert!(keys.len() == 200 && keys.iter().all(|key| key.starts_with("new")), "{} keys", keys.len());
}

#[test]
fn buckets_are_isolated() {
    let directory = TempDir::new().unwrap();
    put(&Storage::open(directory.path(), "one").unwrap(), "a", b"x");
    assert_eq!(get(&Storage::open(directory.path(), "two").unwrap(), "a"), None);
}

fn config(directory: &TempDir) -> EmbeddedConfig {
    EmbeddedConfig::new(directory.path().join("objects"), ([127, 0, 0, 1], 0).into(), "images")
}

#[tokio::test]
async fn a_directory_and_an_address_in_use_are_refused() {
    let (directory, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = Embedded::start(config(&directory)).await.unwrap();
    let locked = Embedded::start(config(&directory)).await.err().unwrap();
    assert!(matches!(&locked, Error::DirectoryLocked { .. }));
    assert!(locked.to_string().contains("objects is in use by another process"));
    let taken = Embedded::start(EmbeddedConfig { address: first.address, ..config(&other) }).await.err().unwrap();
    assert!(matches!(taken, Error::AddressInUse { address } if address == first.address));
    first.shutdown(Duration::from_secs(1)).await;
    let again = Embedded::start(config(&directory)).await.unwrap();
    drop(again);
}

#[tokio::test]
async fn credentials_are_generated_once_and_private() {
    let directory = TempDir::new().unwrap();
    let first = Embedded::start(config(&directory)).await.unwrap();
    let generated = first.credentials.clone();
    assert_eq!((generated.access_key_id.len(), generated.secret_access_key.len()), (20, 40));
    assert!(!format!("{generated:?}").contains(&generated.secret_access_key));
    first.shutdown(Duration::ZERO).await;
    let path = directory.path().join("objects/credentials.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let second = Embedded::start(config(&directory)).await.unwrap();
    assert_eq!(second.credentials.secret_access_key, generated.secret_access_key);
    second.shutdown(Duration::ZERO).await;
    fs::write(&path, b"{}").unwrap();
    assert!(matches!(Embedded::start(config(&directory)).await.err().unwrap(), Error::Credentials { .. }));
}

#[tokio::test]
async fn an_invalid_bucket_name_is_refused() {
    let directory = TempDir::new().unwrap();
    for bucket in ["", "../x", "A", "a/b", ".."] {
        let config = EmbeddedConfig { bucket: bucket.to_owned(), ..config(&directory) };
        assert!(matches!(Embedded::start(config).await.err().unwrap(), Error::BucketName { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_disconnected_and_its_slot_reused() {
    let directory = TempDir::new().unwrap();
    let mut config = config(&directory);
    config.limits.connections = 1;
    config.limits.header_timeout = Duration::from_millis(200);
    let server = Embedded::start(config).await.unwrap();
    let address = server.address;
    let answer = tokio::task::spawn_blocking(move || {
        let mut silent = TcpStream::connect(address).unwrap();
        let mut next = TcpStream::connect(address).unwrap();
        next.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        next.read_to_string(&mut answer).unwrap();
        assert_eq!(silent.read(&mut [0; 100]).unwrap_or(0), 0);
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("<Code>AccessDenied</Code>"), "{answer}");
    server.shutdown(Duration::from_secs(1)).await;
    assert!(TcpStream::connect(address).is_err());
}
