//! A self-hosted image service: it takes uploads, proves that they are pictures, makes thumbnails, keeps originals in S3
//! and what is known of them in PostgreSQL or SQLite, and hands them out again by presigned links.
//!
//! # The floors
//!
//! A file imports only from floors below its own, or from its own folder; a test reads the `use crate::` lines.
//!
//! | floor | rooms | what they are |
//! |---|---|---|
//! | 5 | [`app`], [`config`], [`data_dir`], `main.rs` | start, wire, stop |
//! | 4 | [`http`], [`worker`] | the two ways in: requests, and time |
//! | 3 | [`service`] | what the product does; the only floor with rules |
//! | 2 | [`store`], [`objects`], [`imaging`], [`fetch`], [`caption`], [`metrics`] | one outside thing each; none imports another |
//! | 1 | [`model`] | plain types and pure rules: no IO, no wire format, no SQL |
//!
//! A feature's file has the feature's name on every floor that it touches (`images.rs` in `http/`, `service/`, `store/`).
//! Wire types live in [`http`] alone. [`service::Error`] is the one vocabulary of failures that a client can act on;
//! `http/error.rs` is the one table from there to statuses and bodies.
//!
//! # Who asks
//!
//! 1. `http/identity/authentication.rs` is before every handler: the client's address, its rate, and the credentials as they are sent.
//! 2. `service/identity/authentication.rs` makes a [`model::caller::Caller`] of them, or refuses: by a password (`service/identity/passwords.rs`), a token
//!    (`service/identity/tokens.rs`), an API key, or the header of a gateway.
//! 3. The handler hands the caller on, and each function of the service asks `service/identity/permissions.rs` what it may do.
//!
//! What an image's owner is given by plan comes with the image, in the statement that reads it (`store/images/mod.rs`). Private
//! images are apart from public ones in every index, tag and counter (`store/images/lists.rs`, [`model::filter::Part`]): a list is
//! made of the public part and of the viewer's own.
//!
//! # An upload, in ten steps
//!
//! 1. `http/images/uploads.rs` looks at the announced length: more than the server reads is refused.
//! 2. The parts are read under their limits; every broken field is told at once. `service/admission/body_buffer.rs` reserves memory for the file
//!    as it arrives, or spills it to disk.
//! 3. When the file is whole, `service/admission/mod.rs` reserves memory for it, by turns between callers (`service/admission/fair_queue.rs`).
//! 4. `service/images/upload.rs` takes over, in a task that runs to its end even if the client goes away. `imaging::inspect`
//!    sniffs the format and holds the header against the limits.
//! 5. The idempotency key, if there is one, is claimed. Where larger pictures are scaled down, `service/images/oversize.rs` puts the
//!    smaller file in the place of the one that came.
//! 6. `imaging::process` decodes **once**, on a thread and in memory reserved by what the header said: that proves the
//!    file whole and gives thumbnails, colours, placeholder, metadata, and, where the file tells where it was taken, one
//!    without that; the hash is of what will be stored.
//! 7. An intent, "objects for this image may exist", is committed.
//! 8. Original and thumbnails are put, side by side.
//! 9. One transaction inserts the image with its tags, counters, statistics and idempotency record, and deletes the intent.
//! 10. The answer.
//!
//! # A picture of any size
//!
//! 1. `http/images/thumbnails.rs` reads what is asked for, `service/images/resize_urls.rs` checks its signature, or holds it against the sizes that
//!    anybody may have, `service/images/thumbnails.rs` brings it down to a `Rendering` that equal requests share, and looks for a stored
//!    thumbnail or a variant that is it.
//! 2. If there is none, `service/images/variants.rs` claims it with a lease: a row is committed that names the object to come.
//!    Others wait: in this process for their turn, in another one by looking again.
//! 3. `imaging::render` decodes the smallest stored picture that loses nothing, at a scale that covers what is wanted,
//!    within half of the memory and threads that uploads have.
//! 4. Variants that were asked for longer ago make room for it, in the image's share and in the owner's quota. What has no room is
//!    sent and not stored.
//! 5. The object is put, the row made `ready`, the bytes sent.
//!
//! # An import
//!
//! 1. `http/jobs/imports.rs` holds each URL of an order against its rules; `service/jobs/imports.rs` commits the job and its items, and
//!    the answer is its id. No host has been asked for anything.
//! 2. `worker/imports.rs` is woken, on this instance or soon on another, and claims the item whose turn it is, with a lease
//!    and the id of the image that it is to become (`service/jobs/import_queue.rs`, `store/jobs/import_queue.rs`).
//! 3. `service/jobs/import_fetch.rs` has it fetched: `fetch` resolves the host, holds every address against `fetch/guard.rs`, and
//!    connects to one that passed; so it does with each redirect. Memory for the body is reserved before it is read, half of that
//!    for arriving bodies at most.
//! 4. `service/images/upload.rs` takes over, as from a request. The transaction that inserts the image marks the item.
//! 5. What failed is put off, if it may pass, or fails with a reason.
//!
//! # A deletion
//!
//! 1. `service/images/mod.rs` takes the image out of lists and counters, and puts it in its owner's trash (`service/images/trash.rs`).
//! 2. The same transaction announces that its objects move (`store/images/object_moves.rs`): presigned URLs cannot be taken back, but what they
//!    lead to can be elsewhere. `service/images/url_revocation.rs` copies the objects, switches the image over, and removes them where they were.
//! 3. A restored image stays where its objects are now. One that its owner purges, that is old enough, or that is the oldest of a full trash
//!    loses its row, and its objects are announced for removal.
//! 4. `worker/sweeper.rs` goes on with whatever a process that died has left.
//!
//! # A caption
//!
//! 1. The transaction that inserts an image asks for its caption, where captions are made; so does `POST /images/{id}/caption`.
//! 2. `worker/captions.rs` is woken, on this instance or soon on another, and claims the next user's oldest job, with a lease
//!    and a fence (`service/jobs/caption_queue.rs`, `store/jobs/caption_jobs.rs`).
//! 3. The original is read and decoded at the scale that the model looks at, within the same memory and threads as uploads.
//! 4. `caption` is asked: a model inside the process, on threads that give way to everything else, or an endpoint.
//! 5. One transaction writes the caption and ends the job, if the claim still holds. What failed is put off, if it may pass, or
//!    fails with a reason.
//!
//! # What always holds
//!
//! - What was answered is stored; of what was not, nothing is listed, or all of it is.
//! - No object exists that no image, intent or variant knows, so nothing is ever found by listing the bucket.
//! - An object is deleted only for an image that the database says cannot exist: its intent is `removing`, and an upload
//!   insists on deleting an `uploading` one in the transaction that inserts its image. Or it is that of a variant which is
//!   `removing`, a state without a way back, and under a name that is never used again.
//! - A URL is stored once: the transaction that inserts its image insists on the claim, and a later claim has another image's id.
//! - Nothing that a client or a foreign server says makes the service connect to an address that is not public.
//! - Who may not know of an image is answered as if there were none.
//! - Of passwords, keys, refresh tokens and links that expire only hashes are kept.
//! - What is in a collection follows its images, in the transactions that delete, restore and hide them.
//! - A quota is held under the lock of its account, so that two uploads cannot both take the last place. Variants count, and give way.
//! - Code that gives up several variants of an account holds the account's lock, too: after the image's, before the counters.
//! - Counters move in the transactions that change what they count.
//! - Callers take turns at what is scarce, and nobody waits for a slow client while holding what others wait for.
//! - Whatever a client sends has a bound before it is read: bytes, pixels, frames, scans, seconds, connections.
//! - Nothing blocks the runtime: decoding and hashing run on blocking threads, in bounded number.

pub mod app;
pub mod caption;
pub mod config;
pub mod data_dir;
pub mod fetch;
pub mod http;
pub mod imaging;
pub mod metrics;
pub mod model;
pub mod objects;
pub mod service;
pub mod store;
pub mod worker;
