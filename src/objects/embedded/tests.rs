//! The storage's promises, without S3 around it, and the server's start and end. S3's rules are checked over HTTP.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use s3s::checksum::ChecksumHasher;
use tempfile::TempDir;

use super::draft::Draft;
use super::index::{After, Page, Query};
use super::object::Object;
use super::storage::{Condition, Outcome, Place, Storage, StorageError};
use super::trailer::{BLOCK_BYTES, Description, FOOTER_BYTES, Headers};
use super::{Embedded, EmbeddedConfig, Error};

fn open(directory: &Path) -> Storage {
    Storage::open(directory, "images").unwrap()
}

fn draft(storage: &Storage, key: &str, data: &[u8]) -> (Draft, Description) {
    let mut draft = storage.draft(ChecksumHasher::default()).unwrap();
    for block in data.chunks(BLOCK_BYTES) {
        draft.write_block(block).unwrap();
    }
    let description = Description {
        key: key.to_owned(),
        length: draft.length(),
        md5: hex::encode(draft.take_digests().md5),
        stored_at_ms: draft.stored_at_ms(),
        headers: Headers { content_type: Some("image/jpeg".to_owned()), ..Headers::default() },
        metadata: [("name".to_owned(), "grüße".to_owned())].into(),
        checksums: Default::default(),
    };
    (draft, description)
}

fn put_if(storage: &Storage, key: &str, data: &[u8], condition: &Condition) -> Outcome {
    let (draft, description) = draft(storage, key, data);
    storage.commit(draft, &description, condition).unwrap()
}

fn put(storage: &Storage, key: &str, data: &[u8]) {
    assert_eq!(put_if(storage, key, data, &Condition::None), Outcome::Done);
}

fn read(object: &Object) -> Result<Vec<u8>, StorageError> {
    let mut data = Vec::new();
    while (data.len() as u64) < object.description.length {
        data.extend_from_slice(&object.read_first(&(data.len() as u64..object.description.length))?);
    }
    Ok(data)
}

fn get(storage: &Storage, key: &str) -> Option<Vec<u8>> {
    storage.find(key).unwrap().map(|object| read(&object).unwrap())
}

fn path(directory: &TempDir, key: &str) -> PathBuf {
    let place = Place::of(key);
    directory.path().join(format!("buckets/images/{:02x}", place.shard)).join(place.name)
}

fn incoming(directory: &TempDir) -> usize {
    fs::read_dir(directory.path().join("incoming")).unwrap().count()
}

/// Distinct bytes in every block, so that one in the place of another is noticed.
fn data(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 251 + at) as u8).collect()
}

#[test]
fn an_object_comes_back_after_a_restart_with_all_that_is_known_of_it() {
    let directory = TempDir::new().unwrap();
    for bytes in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 20 * BLOCK_BYTES + 5] {
        let storage = open(directory.path());
        let (draft, mut description) = draft(&storage, "a/b", &data(bytes));
        // Once with a trailer that the first read of a file's end does not hold.
        if bytes == 1 {
            description.metadata.insert("long".to_owned(), "x".repeat(6000));
        }
        storage.commit(draft, &description, &Condition::None).unwrap();
        drop(storage);
        let storage = open(directory.path());
        assert_eq!(storage.find("a/b").unwrap().unwrap().description, description);
        assert!(get(&storage, "a/b").unwrap() == data(bytes), "{bytes} bytes differ");
    }
    assert_eq!(incoming(&directory), 0);
}

#[test]
fn a_draft_that_is_not_committed_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    let (abandoned, _) = draft(&storage, "a", b"data");
    assert_eq!(incoming(&directory), 1);
    drop(abandoned);
    assert_eq!((get(&storage, "a"), incoming(&directory)), (None, 0));
    put(&storage, "a", b"first");
    assert_eq!(put_if(&storage, "a", b"second", &Condition::Absent), Outcome::Conflict);
    assert_eq!((get(&storage, "a").unwrap().as_slice(), incoming(&directory)), (b"first".as_slice(), 0));
}

#[test]
fn what_a_killed_process_left_is_removed_at_the_next_start() {
    let directory = TempDir::new().unwrap();
    put(&open(directory.path()), "a", b"data");
    fs::write(directory.path().join("incoming/0123"), b"half an upl").unwrap();
    let storage = open(directory.path());
    assert_eq!((incoming(&directory), get(&storage, "a").unwrap().as_slice()), (0, b"data".as_slice()));
}

#[test]
fn a_file_cut_anywhere_is_noticed() {
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
fn a_flipped_bit_anywhere_is_noticed() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    put(&storage, "a", &data(2 * BLOCK_BYTES + 100));
    let whole = fs::read(path(&directory, "a")).unwrap();
    let places = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 99];
    for place in places.into_iter().chain(2 * BLOCK_BYTES + 100..whole.len()) {
        let mut damaged = whole.clone();
        damaged[place] ^= 4;
        fs::write(path(&directory, "a"), &damaged).unwrap();
        let result = storage.find("a").and_then(|object| read(&object.unwrap()));
        assert!(matches!(result, Err(StorageError::Damaged { .. })), "byte {place}");
    }
}

#[test]
fn damage_in_one_block_does_not_hide_another() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    put(&storage, "a", &data(3 * BLOCK_BYTES));
    let mut damaged = fs::read(path(&directory, "a")).unwrap();
    damaged[BLOCK_BYTES + 5] ^= 1;
    fs::write(path(&directory, "a"), &damaged).unwrap();
    let object = storage.find("a").unwrap().unwrap();
    assert!(object.read_first(&(0..10)).is_ok());
    assert!(object.read_first(&(BLOCK_BYTES as u64 + 50..BLOCK_BYTES as u64 + 60)).is_err());
    assert!(object.read_first(&(2 * BLOCK_BYTES as u64..3 * BLOCK_BYTES as u64)).is_ok());
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
fn a_reader_keeps_the_version_that_it_opened() {
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
    let md5 = |key: &str| Condition::Md5(storage.find(key).unwrap().unwrap().description.md5);
    assert_eq!(put_if(&storage, "a", b"1", &Condition::Present), Outcome::Missing);
    assert_eq!(put_if(&storage, "a", b"1", &Condition::Md5("x".to_owned())), Outcome::Missing);
    assert_eq!(put_if(&storage, "a", b"1", &Condition::Absent), Outcome::Done);
    let first = md5("a");
    assert_eq!(put_if(&storage, "a", b"2", &first), Outcome::Done);
    assert_eq!(put_if(&storage, "a", b"3", &first), Outcome::Conflict);
    assert_eq!(storage.remove("a", &first).unwrap(), Outcome::Conflict);
    assert_eq!(get(&storage, "a").unwrap(), b"2");
    assert_eq!(storage.remove("a", &md5("a")).unwrap(), Outcome::Done);
    assert_eq!(storage.remove("a", &Condition::None).unwrap(), Outcome::Done);
}

#[test]
fn writers_of_one_key_leave_one_whole_object_and_one_first_writer() {
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
fn no_key_gets_into_a_path() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    let long = "k".repeat(100_000);
    for key in
        ["../x", "/etc/passwd", "", ".", "..", "\0", "a\0b", "incoming/1", "lock", "ü/画像", "a//b", "%2e%2e/", long.as_str()]
    {
        let place = Place::of(key);
        assert!(place.name.len() == 64 && place.name.bytes().all(|byte| byte.is_ascii_hexdigit()));
        put(&storage, key, key.as_bytes());
        assert_eq!(get(&storage, key).unwrap(), key.as_bytes());
    }
    let mut names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["buckets", "incoming", "lock"]);
}

#[test]
fn many_are_removed_and_absent_ones_do_not_matter() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    keys[..20].iter().for_each(|key| put(&storage, key, b"x"));
    let results = storage.remove_all(keys.clone());
    assert!(results.len() == 40 && results.iter().all(|(_, result)| result.is_ok()));
    assert!(keys.iter().all(|key| get(&storage, key).is_none()));
}

fn page(storage: &Storage, prefix: &str, delimiter: &str, after: After, limit: usize) -> Page {
    storage.page(&Query { prefix: prefix.to_owned(), delimiter: delimiter.to_owned(), after, limit }).unwrap()
}

#[test]
fn a_listing_is_in_order_and_folds() {
    let directory = TempDir::new().unwrap();
    let storage = open(directory.path());
    for key in ["b", "a/2", "a/1", "ü", "c/x/1", "\u{10FFFF}x", "\u{D7FF}y", "c"] {
        put(&storage, key, b"x");
    }
    fs::write(path(&directory, "damaged"), b"nonsense").unwrap();
    let all = page(&storage, "", "", After::Nothing, 100);
    assert_eq!(all.keys, ["a/1", "a/2", "b", "c", "c/x/1", "ü", "\u{D7FF}y", "\u{10FFFF}x"]);
    assert_eq!((all.folded.len(), all.next), (0, None));

    let folded = page(&storage, "", "/", After::Nothing, 2);
    assert_eq!((folded.keys, folded.folded), (vec!["b".to_owned()], vec!["a/".to_owned()]));
    let rest = page(&storage, "", "/", folded.next.unwrap(), 2);
    assert_eq!((rest.keys, rest.folded), (vec!["c".to_owned()], vec!["c/".to_owned()]));
    assert_eq!(rest.next, Some(After::Folded("c/".to_owned())));

    assert_eq!(page(&storage, "a/", "", After::Key("a/1".to_owned()), 9).keys, ["a/2"]);
    assert_eq!(page(&storage, "c", "", After::Key("a".to_owned()), 9).keys, ["c", "c/x/1"]);
    assert_eq!(page(&storage, "", "\u{10FFFF}", After::Key("ü".to_owned()), 9).folded, ["\u{10FFFF}"]);
    assert_eq!(page(&storage, "", "", After::Nothing, 0), Page::default());
}

#[test]
fn a_listing_is_true_while_keys_come_and_go() {
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
            page(&storage, "", "", After::Nothing, 1000);
        }
    });
    let keys = page(&storage, "", "", After::Nothing, 1000).keys;
    assert!(keys.len() == 200 && keys.iter().all(|key| key.starts_with("new")), "{} keys", keys.len());
}

#[test]
fn buckets_do_not_see_each_other() {
    let directory = TempDir::new().unwrap();
    put(&Storage::open(directory.path(), "one").unwrap(), "a", b"x");
    assert_eq!(get(&Storage::open(directory.path(), "two").unwrap(), "a"), None);
}

fn config(directory: &TempDir) -> EmbeddedConfig {
    EmbeddedConfig::new(directory.path().join("objects"), ([127, 0, 0, 1], 0).into(), "images")
}

#[tokio::test]
async fn a_directory_has_one_process_and_an_address_one_server() {
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
async fn credentials_are_made_once_and_private() {
    let directory = TempDir::new().unwrap();
    let first = Embedded::start(config(&directory)).await.unwrap();
    let made = first.credentials.clone();
    assert_eq!((made.access_key_id.len(), made.secret_access_key.len()), (20, 40));
    assert!(!format!("{made:?}").contains(&made.secret_access_key));
    first.shutdown(Duration::ZERO).await;
    let path = directory.path().join("objects/credentials.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let second = Embedded::start(config(&directory)).await.unwrap();
    assert_eq!(second.credentials.secret_access_key, made.secret_access_key);
    second.shutdown(Duration::ZERO).await;
    fs::write(&path, b"{}").unwrap();
    assert!(matches!(Embedded::start(config(&directory)).await.err().unwrap(), Error::Credentials { .. }));
}

#[tokio::test]
async fn a_bucket_must_have_a_buckets_name() {
    let directory = TempDir::new().unwrap();
    for bucket in ["", "../x", "A", "a/b", ".."] {
        let config = EmbeddedConfig { bucket: bucket.to_owned(), ..config(&directory) };
        assert!(matches!(Embedded::start(config).await.err().unwrap(), Error::BucketName { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_is_let_go_and_its_place_given_to_the_next() {
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
