//! Sorts the tiles of an image into groups with similar samples, each of which has its own prefix codes (RFC 9649, 3.7.2.2).

use super::webp_alpha_prediction::TILE_BITS;
use super::webp_alpha_tokens::{Counts, DISTANCES, GREENS, Token};

/// Maximum number of groups.
const MAX_GROUPS: usize = 8;

/// A group must have this many tokens on average, because its codes take about a hundred bytes.
const TOKENS_PER_GROUP: usize = 2500;

/// How often tiles move to the group that suits them best.
const ROUNDS: usize = 2;

pub(super) struct Groups {
    pub of_tiles: Vec<u8>,
    /// How often the symbols of each group occur.
    pub counts: Vec<Counts>,
}

impl Groups {
    pub fn of(tokens: &[Token], width: usize, height: usize) -> Self {
        let tiles = width.div_ceil(1 << TILE_BITS) * height.div_ceil(1 << TILE_BITS);
        let wanted = (tokens.len() / TOKENS_PER_GROUP).clamp(1, MAX_GROUPS);
        let mut of_tiles = vec![0u8; tiles];
        let mut counts = vec![Counts::of(tokens)];
        if wanted > 1 {
            of_tiles = by_cost(tokens, width, tiles, &counts[0], wanted);
            for _ in 0..ROUNDS {
                counts = counted(tokens, width, &of_tiles, wanted);
                of_tiles = cheapest(tokens, width, tiles, &counts);
            }
            renumber(&mut of_tiles);
            let groups = of_tiles.iter().max().map_or(1, |most| usize::from(*most) + 1);
            counts = counted(tokens, width, &of_tiles, groups);
        }
        Groups { of_tiles, counts }
    }
}

/// Returns each token with the tile that it starts in.
pub(super) fn with_tiles(tokens: &[Token], width: usize) -> impl Iterator<Item = (Token, usize)> {
    let row_tiles = width.div_ceil(1 << TILE_BITS);
    let (mut column, mut row) = (0, 0);
    tokens.iter().map(move |&token| {
        let tile = (row >> TILE_BITS) * row_tiles + (column >> TILE_BITS);
        column += token.samples();
        while column >= width {
            column -= width;
            row += 1;
        }
        (token, tile)
    })
}

/// Groups the tiles by the bits per token with one code for all, with as many tokens in each group.
fn by_cost(tokens: &[Token], width: usize, tiles: usize, counts: &Counts, groups: usize) -> Vec<u8> {
    let costs = Costs::of(std::slice::from_ref(counts));
    let mut sums = vec![(0f32, 0u32); tiles];
    for (token, tile) in with_tiles(tokens, width) {
        sums[tile].0 += costs.of_token(token)[0];
        sums[tile].1 += 1;
    }
    let mut order: Vec<usize> = (0..tiles).collect();
    let mean = |tile: usize| sums[tile].0 / sums[tile].1.max(1) as f32;
    order.sort_by(|&first, &second| mean(first).total_cmp(&mean(second)));
    let mut of_tiles = vec![0; tiles];
    let mut before = 0;
    for tile in order {
        of_tiles[tile] = (before * groups / tokens.len()).min(groups - 1) as u8;
        before += sums[tile].1 as usize;
    }
    of_tiles
}

fn counted(tokens: &[Token], width: usize, of_tiles: &[u8], groups: usize) -> Vec<Counts> {
    let mut counts = vec![Counts::NONE; groups];
    with_tiles(tokens, width).for_each(|(token, tile)| counts[usize::from(of_tiles[tile])].add(token));
    counts
}

/// Moves each tile to the group whose codes are shortest for it.
fn cheapest(tokens: &[Token], width: usize, tiles: usize, counts: &[Counts]) -> Vec<u8> {
    let costs = Costs::of(counts);
    let mut sums = vec![[0f32; MAX_GROUPS]; tiles];
    for (token, tile) in with_tiles(tokens, width) {
        sums[tile].iter_mut().zip(costs.of_token(token)).for_each(|(sum, cost)| *sum += cost);
    }
    let best = |sums: &[f32; MAX_GROUPS]| {
        (0..counts.len()).min_by(|&first, &second| sums[first].total_cmp(&sums[second])).unwrap_or(0) as u8
    };
    sums.iter().map(best).collect()
}

/// Bits per symbol in each group.
struct Costs {
    greens: Vec<[f32; MAX_GROUPS]>,
    distances: Vec<[f32; MAX_GROUPS]>,
}

impl Costs {
    fn of(counts: &[Counts]) -> Self {
        let mut costs = Costs { greens: vec![[0.0; MAX_GROUPS]; GREENS], distances: vec![[0.0; MAX_GROUPS]; DISTANCES] };
        for (group, counts) in counts.iter().enumerate() {
            for (costs, counts) in [(&mut costs.greens, &counts.greens[..]), (&mut costs.distances, &counts.distances[..])] {
                // A symbol that does not occur would need a longer table.
                let total = counts.iter().sum::<u32>() as f32 + 1.0;
                costs.iter_mut().zip(counts).for_each(|(cost, &count)| cost[group] = (total / (count as f32).max(0.1)).log2());
            }
        }
        costs
    }

    #[inline]
    fn of_token(&self, token: Token) -> [f32; MAX_GROUPS] {
        let mut costs = self.greens[token.green()];
        if let Some(distance) = token.distance() {
            costs.iter_mut().zip(self.distances[distance.prefix]).for_each(|(cost, more)| *cost += more);
        }
        costs
    }
}

/// Numbers the groups that have tiles from 0.
fn renumber(of_tiles: &mut [u8]) {
    let mut numbers = [None; MAX_GROUPS];
    let mut next = 0;
    for group in of_tiles {
        *group = *numbers[usize::from(*group)].get_or_insert_with(|| {
            next += 1;
            next - 1
        });
    }
}
