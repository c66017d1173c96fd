mod pages;
mod sessions;
mod tiles;
