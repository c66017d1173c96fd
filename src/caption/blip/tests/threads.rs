//! Tests of the threads used, of stopping, and of images of unusual shapes.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};

use super::super::{Blip, CaptionError, RgbImage};
use super::models;

const RGB: [u8; 48] = [200; 48];
const IMAGE: RgbImage<'_> = RgbImage { width: 4, height: 4, rgb: &RGB };

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn assert_send_and_sync<T: Send + Sync>(_: &T) {}

#[test]
fn several_threads_can_use_a_model_concurrently() {
    let blip = Blip::open(&models().join("tied")).unwrap();
    assert_send_and_sync(&blip);
    let caption = || blip.caption(IMAGE, &|| false).unwrap();
    let alone = caption();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(caption)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), alone);
        }
    });
}

#[test]
fn the_caption_does_not_depend_on_the_number_of_threads() {
    let blip = Blip::open(&models().join("wide")).unwrap();
    let captions: HashSet<_> =
        [1, 2, 3, 7, 40].map(|threads| pool(threads).install(|| blip.caption(IMAGE, &|| false).unwrap())).into();
    assert_eq!(captions.len(), 1);
}

#[test]
fn only_the_callers_pool_does_the_work() {
    let blip = Blip::open(&models().join("deep")).unwrap();
    for threads in [1, 3] {
        let pool = pool(threads);
        let members: HashSet<ThreadId> = pool.broadcast(|_| thread::current().id()).into_iter().collect();
        let seen = Mutex::new(HashSet::new());
        let stop = || {
            seen.lock().unwrap().insert(thread::current().id());
            false
        };
        for _ in 0..20 {
            pool.install(|| blip.caption(IMAGE, &stop).unwrap());
        }
        assert!(seen.lock().unwrap().is_subset(&members));
    }
}

#[test]
fn the_work_stops_at_every_check() {
    let blip = Blip::open(&models().join("tied")).unwrap();
    let calls = AtomicUsize::new(0);
    let count = || {
        calls.fetch_add(1, Ordering::Relaxed);
        false
    };
    blip.caption(IMAGE, &count).unwrap();
    let total = calls.load(Ordering::Relaxed);
    assert!(total > 20, "called only {total} times");
    for last in 0..total {
        let calls = AtomicUsize::new(0);
        let stop = || calls.fetch_add(1, Ordering::Relaxed) >= last;
        assert!(matches!(blip.caption(IMAGE, &stop), Err(CaptionError::Stopped)));
    }
}

#[test]
fn bytes_that_do_not_match_the_dimensions_are_refused() {
    let blip = Blip::open(&models().join("tied")).unwrap();
    for (width, height, bytes) in [(0, 0, 0), (0, 4, 0), (4, 4, 47), (4, 4, 49), (u32::MAX, u32::MAX, 48), (4, 0, 48)] {
        let rgb = vec![0; bytes];
        let caption = blip.caption(RgbImage { width, height, rgb: &rgb }, &|| false);
        assert!(matches!(caption, Err(CaptionError::NotRgb { .. })), "{width} × {height}: {caption:?}");
    }
}

#[test]
fn an_image_of_any_shape_has_a_caption() {
    let blip = Blip::open(&models().join("tied")).unwrap();
    for (width, height) in [(1, 1), (1, 500), (3000, 2), (17, 16)] {
        let rgb = vec![90; width as usize * height as usize * 3];
        blip.caption(RgbImage { width, height, rgb: &rgb }, &|| false).unwrap();
    }
}
