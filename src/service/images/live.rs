//! Images that are not deleted, and the counters of them.

use crate::model::counter::Counter;
use crate::model::image::Image;
use crate::store::{self, Tx};

pub(in crate::service) fn is_live(image: &Image) -> bool {
    image.deleted_at.is_none()
}

pub(in crate::service) fn count_live(tx: &mut Tx, image: &Image, difference: i64) {
    let changes = Counter::of_live(image).into_iter().map(|(counter, number)| (counter, number * difference));
    store::images::counters::add(tx, image.id, changes);
}
