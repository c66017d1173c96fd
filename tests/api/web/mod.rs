mod collections;
mod originals;
mod pages;
mod privacy;
mod sessions;
mod shared_pages;
mod tiles;
