//! Colour profiles with look-up tables (ICC.1:2022, 10.10).

/// Returns a profile from `channels` to XYZ, with a table of `grid` steps per channel and 16-bit entries.
pub fn table(space: &[u8; 4], channels: u8, grid: u8) -> Vec<u8> {
    let steps = usize::from(grid);
    let mut lut = [&b"mft2\0\0\0\0"[..], &[channels, 3, grid, 0]].concat();
    for number in [1u32, 0, 0, 0, 1, 0, 0, 0, 1] {
        lut.extend((number << 16).to_be_bytes());
    }
    // The input and output curves have two entries each and are the identity.
    lut.extend([0, 2, 0, 2]);
    for _ in 0..channels {
        lut.extend([0, 0, 0xff, 0xff]);
    }
    for index in 0..steps.pow(u32::from(channels)) {
        let level = |channel: u32| (index / steps.pow(channel) % steps * 32_000 / (steps - 1)) as u16;
        for channel in 0..3 {
            lut.extend(level(channel).to_be_bytes());
        }
    }
    for _ in 0..3 {
        lut.extend([0, 0, 0xff, 0xff]);
    }
    lut.resize(lut.len().next_multiple_of(4), 0);
    let mut profile = vec![0; 128];
    profile[8..12].copy_from_slice(&[2, 0x40, 0, 0]);
    profile[12..16].copy_from_slice(b"prtr");
    profile[16..20].copy_from_slice(space);
    profile[20..24].copy_from_slice(b"XYZ ");
    profile[36..40].copy_from_slice(b"acsp");
    profile[68..80].copy_from_slice(&[0, 0, 0xf6, 0xd6, 0, 1, 0, 0, 0, 0, 0xd3, 0x2d]);
    profile.extend(1u32.to_be_bytes());
    profile.extend(b"A2B0");
    profile.extend(144u32.to_be_bytes());
    profile.extend((lut.len() as u32).to_be_bytes());
    profile.extend(lut);
    let length = profile.len() as u32;
    profile[..4].copy_from_slice(&length.to_be_bytes());
    profile
}
