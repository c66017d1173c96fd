mod collections;
mod pages;
mod privacy;
mod sessions;
mod shared_pages;
mod tiles;
