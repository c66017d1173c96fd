mod pages;
mod sessions;
mod shared_pages;
mod tiles;
