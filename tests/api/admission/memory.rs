//! Memory: however many clients upload large images, the service stays within its budgets.

use std::time::Duration;

use mozjpeg::{ColorSpace, Compress};

use crate::harness::client::{Client, HANG_TIMEOUT, Upload};
use crate::harness::pictures::{Random, jpeg, padded};
use crate::harness::process::{Home, Process};
use crate::harness::raw_connection::Raw;
use crate::harness::{Form, assert_error};

const MIB: u64 = 1 << 20;

/// The defaults of the budgets.
const UPLOAD_BUDGET: u64 = 128 * MIB;
const DECODE_BUDGET: u64 = 256 * MIB;

/// Memory outside the budgets: idle memory (16 MiB), the HTTP server's buffers for 200 connections, and data on its way
/// to the storage. Measured peaks of the total were 220 MiB, and 260 MiB when all 200 uploads are stored.
const OUTSIDE_BUDGETS: u64 = 64 * MIB;

/// The peak of the memory that the process has allocated. The pages of its program file do not count: they depend on
/// the build, and the kernel can drop them.
fn peak_memory(process: &Process) -> u64 {
    process.memory("VmHWM") - process.memory("RssFile")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_concurrent_16_megapixel_uploads_stay_within_the_budgets_and_all_get_a_response() {
    let home = Home::new().await;
    // With SOAK_ROUNDS, uploads wait until all are stored. By default, uploads that cannot be decoded soon are
    // rejected.
    let soaks = std::env::var_os("SOAK_ROUNDS").is_some();
    let process = Process::start(&home, if soaks { &[("ADMISSION_TIMEOUT", "600"), ("BODY_TIMEOUT", "900")] } else { &[] }).await;
    let client = Client::with_timeout(process.address, if soaks { HANG_TIMEOUT * 10 } else { HANG_TIMEOUT * 2 });
    let files = [large_jpeg(true), large_jpeg(false)];
    let idle = process.memory("RssAnon");

    let answering = tokio::spawn({
        let client = Client::new(process.address);
        async move {
            loop {
                assert_eq!(client.get("/health").await.status, 200);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    // Every fourth image is progressive, which takes three times the memory.
    let uploads = (0..200).map(|number| Upload::of(&format!("number {number}"), &files[usize::from(number % 4 != 0)]));
    let uploads: Vec<Upload> = uploads.collect();
    let answers = futures::future::join_all(uploads.iter().map(|upload| client.try_upload(upload))).await;
    assert!(!answering.is_finished(), "/health did not answer");
    answering.abort();

    let mut stored = 0;
    for answer in answers {
        let answer = answer.expect("a response, not a broken connection");
        if answer.status == 200 {
            stored += 1;
        } else {
            assert_error(&answer, 503, "ServiceUnavailable");
        }
    }
    let peak = peak_memory(&process);
    println!(
        "{stored} stored, {} rejected; files of {} and {} KiB; memory {} MiB idle, {} MiB at its peak, {} MiB after",
        200 - stored,
        files[0].len() / 1024,
        files[1].len() / 1024,
        idle / MIB,
        peak / MIB,
        process.memory("RssAnon") / MIB
    );
    assert!(stored > 0);
    assert_eq!(client.list().await.len(), stored);
    let bound = UPLOAD_BUDGET + DECODE_BUDGET + OUTSIDE_BUDGETS;
    assert!(peak < bound, "{} MiB, which exceeds {} MiB", peak / MIB, bound / MIB);
    process.stop().await;
}

/// A slow upload in pieces: its path, and the connection on which its first piece arrives.
async fn begin_slow_piece(process: &Process, number: usize, file_length: usize, piece: &[u8]) -> (String, Raw) {
    // A user has at most 20 open uploads.
    let user = format!("X-User-Id: user{}\r\n", number / 8);
    let is_form = number.is_multiple_of(2);
    let creation = if is_form {
        format!("POST /images HTTP/1.1\r\n{user}Upload-Complete: ?0\r\nContent-Type: {}\r\n", Form::content_type())
    } else {
        format!("POST /uploads/tus HTTP/1.1\r\n{user}Tus-Resumable: 1.0.0\r\n")
    };
    let mut connection = Raw::open(process).await;
    connection.send(format!("{creation}Host: localhost\r\nUpload-Length: {file_length}\r\nContent-Length: 0\r\n\r\n")).await;
    let created = connection.read_answer().await;
    assert!(created.head.starts_with("HTTP/1.1 201 "), "{created:?}");
    let location = created.head.lines().find_map(|line| line.strip_prefix("location: ")).expect("a location");
    let path = location[location.find("/uploads/").expect("an upload")..].to_owned();
    let headers = if is_form {
        "Upload-Complete: ?0\r\nContent-Type: application/partial-upload\r\n"
    } else {
        "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n"
    };
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\n{user}{headers}Upload-Offset: 0\r\nContent-Length: {file_length}\r\n\r\n"
    );
    connection.send([head.as_bytes(), piece].concat()).await;
    (path, connection)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_slow_uploads_stay_within_the_budget_and_can_be_continued() {
    const UPLOADS: usize = 64;
    const BUDGET: u64 = 32 * MIB;
    let home = Home::new().await;
    let process = Process::start(&home, &[("UPLOAD_MEMORY_BUDGET", "32MiB"), ("UPLOAD_DISK_BUDGET", "1GiB")]).await;
    let file = padded(jpeg(640, 480, 1), 4 << 20);
    let sent = 3 << 20;
    let begun = (0..UPLOADS).map(|number| begin_slow_piece(&process, number, file.len(), &file[..sent]));
    let mut slow = futures::future::join_all(begun).await;
    for position in sent..sent + 30 {
        for (_, connection) in &mut slow {
            connection.send(&file[position..=position]).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // They do not delay others.
    let client = Client::new(process.address);
    assert_eq!(client.upload(&Upload::of("fast", &file)).await.status, 200);
    let sent = sent + 30;
    // A client asks for the offset while its connection hangs: what has arrived is stored.
    let offsets = futures::future::join_all(slow.iter().enumerate().map(async |(number, (path, _))| {
        let request = reqwest::Client::builder().no_proxy().timeout(HANG_TIMEOUT).build().expect("a client");
        let request = request.head(format!("http://{}{path}", process.address)).header("Tus-Resumable", "1.0.0");
        let answer = request.header("X-User-Id", format!("user{}", number / 8)).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
        answer.headers()["upload-offset"].to_str().expect("text").parse::<usize>().expect("an offset")
    }));
    assert_eq!(offsets.await, [sent; UPLOADS]);
    let peak = peak_memory(&process);
    println!("memory {} MiB at its peak", peak / MIB);
    assert!(peak < BUDGET + OUTSIDE_BUDGETS, "{} MiB", peak / MIB);
    process.stop().await;
}

/// A JPEG of 4000×4000 pixels of smooth noise, 1 to 4 MB large. The lines repeat, because this test code is not
/// optimised.
fn large_jpeg(progressive: bool) -> Vec<u8> {
    const SIDE: usize = 4000;
    const LINES: usize = 40;
    const NOISE: usize = 44;
    let mut random = Random::new(16);
    let mut lines = Vec::with_capacity(SIDE * LINES * 3);
    for at in 0..SIDE * LINES {
        let shade = u8::try_from((at % SIDE) * 150 / SIDE + random.below(NOISE)).expect("a shade");
        lines.extend([shade, shade, 255 - shade]);
    }
    let mut compress = Compress::new(ColorSpace::JCS_RGB);
    compress.set_size(SIDE, SIDE);
    compress.set_fastest_defaults();
    compress.set_quality(80.0);
    if progressive {
        compress.set_progressive_mode();
    }
    let mut started = compress.start_compress(Vec::new()).expect("the JPEG encoder starts");
    for _ in 0..SIDE / LINES {
        started.write_scanlines(&lines).expect("scanlines are encoded");
    }
    let file = started.finish().expect("the JPEG is finished");
    assert!((1 << 20..4 << 20).contains(&file.len()), "{} bytes", file.len());
    file
}
