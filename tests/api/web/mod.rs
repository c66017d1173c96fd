mod collections;
mod pages;
mod sessions;
mod tiles;
