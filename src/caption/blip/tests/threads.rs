//! Which threads work, and how the work ends early.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};

use super::super::{Blip, CaptionError, Picture};
use super::models;

const RGB: [u8; 48] = [200; 48];
const PICTURE: Picture<'_> = Picture { width: 4, height: 4, rgb: &RGB };

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn assert_send_and_sync<T: Send + Sync>(_: &T) {}

#[test]
fn a_model_may_be_asked_by_several_threads_at_once() {
    let blip = Blip::open(&models().join("tied")).unwrap();
    assert_send_and_sync(&blip);
    let caption = || blip.caption(PICTURE, &|| false).unwrap();
    let alone = caption();
    thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(caption)).collect();
        for caption in asked {
            assert_eq!(caption.join().unwrap(), alone);
        }
    });
}

#[test]
fn threads_make_no_difference_to_the_caption() {
    let blip = Blip::open(&models().join("wide")).unwrap();
    let captions: HashSet<_> =
        [1, 2, 3, 7, 40].map(|threads| pool(threads).install(|| blip.caption(PICTURE, &|| false).unwrap())).into();
    assert_eq!(captions.len(), 1);
}

#[test]
fn the_work_is_done_by_the_pool_that_it_was_called_in() {
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
            pool.install(|| blip.caption(PICTURE, &stop).unwrap());
        }
        assert!(seen.lock().unwrap().is_subset(&members));
    }
}

#[test]
fn stopping_at_any_question_ends_the_work() {
    let blip = Blip::open(&models().join("tied")).unwrap();
    let asked = AtomicUsize::new(0);
    let count = || {
        asked.fetch_add(1, Ordering::Relaxed);
        false
    };
    blip.caption(PICTURE, &count).unwrap();
    let questions = asked.load(Ordering::Relaxed);
    assert!(questions > 20, "asked {questions} times only");
    for last in 0..questions {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= last;
        assert!(matches!(blip.caption(PICTURE, &stop), Err(CaptionError::Stopped)));
    }
}

#[test]
fn bytes_that_are_no_picture_are_refused() {
    let blip = Blip::open(&models().join("tied")).unwrap();
    for (width, height, bytes) in [(0, 0, 0), (0, 4, 0), (4, 4, 47), (4, 4, 49), (u32::MAX, u32::MAX, 48), (4, 0, 48)] {
        let rgb = vec![0; bytes];
        let caption = blip.caption(Picture { width, height, rgb: &rgb }, &|| false);
        assert!(matches!(caption, Err(CaptionError::NotAPicture { .. })), "{width} × {height}: {caption:?}");
    }
}

#[test]
fn a_picture_of_any_shape_has_a_caption() {
    let blip = Blip::open(&models().join("tied")).unwrap();
    for (width, height) in [(1, 1), (1, 500), (3000, 2), (17, 16)] {
        let rgb = vec![90; width as usize * height as usize * 3];
        blip.caption(Picture { width, height, rgb: &rgb }, &|| false).unwrap();
    }
}
