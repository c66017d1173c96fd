mod collections;
mod originals;
mod page_pass;
mod pages;
mod privacy;
mod sessions;
mod shared_pages;
mod tiles;
