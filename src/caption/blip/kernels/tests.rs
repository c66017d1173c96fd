//! Compares each kernel with a straightforward `f64` implementation, for lengths that are not multiples of a vector.

use super::elementwise::exp;
use super::*;
use pulp::WithSimd;

/// Returns pseudo-random numbers between −2 and 2.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*found) - expected).abs() <= tolerance, "{found} for {expected} at {at}");
    }
}

/// Computes erf by its Taylor series, which converges everywhere and is accurate enough in `f64` for |x| ≤ 4.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn gelu_is_exact() {
    let inputs: Vec<f32> = (-550..=550).map(|step| step as f32 / 100.0).collect();
    let mut found = inputs.clone();
    add_gelu(&mut found, &vec![0.0; inputs.len()]);
    let expected: Vec<f64> = wide(&inputs).iter().map(|x| 0.5 * x * (1.0 + erf((x / 2f64.sqrt()).clamp(-4.0, 4.0)))).collect();
    assert_close(&found, &expected, 1e-6);
}

#[test]
fn gelu_is_zero_or_the_identity_far_from_zero() {
    let mut found = vec![-1e30, -50.0, 50.0, 1e30];
    add_gelu(&mut found, &[0.0; 4]);
    assert_close(&found, &[0.0, 0.0, 50.0, 1e30f32.into()], 0.0);
}

#[test]
fn exp_is_accurate_to_2_ulp() {
    for step in 0..87_000 {
        let x = -(step as f32) / 1000.0;
        let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
        assert!((found - expected).abs() <= 2.4e-7 * expected, "e^{x}: {found} for {expected}");
    }
    assert_eq!(exp(0.0), 1.0);
    assert!(exp(-1e30) < 1e-37 && exp(f32::NEG_INFINITY) >= 0.0);
}

#[test]
fn rows_are_added() {
    for width in [1, 3, 16, 47] {
        let (rows, others, bias) = (numbers(3 * width, 1), numbers(3 * width, 2), numbers(width, 3));
        let bias_of_rows = bias.repeat(3);
        let mut found = rows.clone();
        add(&mut found, &bias);
        assert!(found.iter().zip(&rows).zip(&bias_of_rows).all(|((found, row), bias)| *found == row + bias));
        let mut found = rows.clone();
        add_rows(&mut found, &others, &bias);
        let expected: Vec<f64> = rows.iter().zip(&others).zip(&bias_of_rows).map(|((a, b), c)| f64::from(a + (b + c))).collect();
        assert_close(&found, &expected, 1e-6);
    }
}

#[test]
fn normalised_rows_have_mean_and_variance() {
    for width in [1, 2, 31, 32, 33, 100] {
        let (rows, scale, shift) = (numbers(4 * width, 1), numbers(width, 2), numbers(width, 3));
        let mut found = vec![0.0; rows.len()];
        normalise(&rows, &scale, &shift, 1e-5, &mut found);
        for (row, found) in wide(&rows).chunks(width).zip(found.chunks(width)) {
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / width as f64;
            let normalised = row.iter().map(|value| (value - mean) / (variance + 1e-5).sqrt());
            let expected: Vec<f64> = normalised
                .zip(wide(&scale).iter().zip(&wide(&shift)))
                .map(|(value, (scale, shift))| value * scale + shift)
                .collect();
            assert_close(found, &expected, 2e-6);
        }
    }
}

#[test]
fn matrices_of_any_size_are_multiplied() {
    for (rows, columns) in [(1, 1), (3, 5), (8, 16), (9, 17), (40, 64), (41, 577), (7, 33)] {
        let (matrix, input) = (numbers(rows * columns, 1), numbers(columns, 2));
        let mut found = vec![f32::NAN; rows];
        product(&matrix, &input, &mut found);
        let expected: Vec<f64> =
            wide(&matrix).chunks(columns).map(|row| row.iter().zip(&wide(&input)).map(|(a, b)| a * b).sum()).collect();
        assert_close(&found, &expected, 1e-4);
    }
}

/// Computes attention directly: softmax of the query's products with all keys, then the weighted mean of the values.
fn attention_of(query: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>]) -> Vec<f64> {
    let scale = 1.0 / (query.len() as f64).sqrt();
    let weights: Vec<f64> =
        keys.iter().map(|key| (wide(query).iter().zip(wide(key)).map(|(a, b)| a * b).sum::<f64>() * scale).exp()).collect();
    let sum: f64 = weights.iter().sum();
    (0..query.len())
        .map(|at| weights.iter().zip(values).map(|(weight, value)| weight * f64::from(value[at])).sum::<f64>() / sum)
        .collect()
}

fn vectors(count: usize, width: usize, seed: u32) -> Vec<Vec<f32>> {
    numbers(count * width, seed).chunks(width).map(<[f32]>::to_vec).collect()
}

#[test]
fn attention_in_panels_matches_attention() {
    for (rows, count, width) in [(1, 1, 1), (2, 5, 3), (6, 64, 64), (7, 65, 64), (20, 130, 12), (13, 70, 80)] {
        let (keys, values) = (vectors(count, width, 1), vectors(count, width, 2));
        let queries = numbers(rows * width, 3);
        let mut panels = [vec![0.0; count.next_multiple_of(PANEL) * width], vec![0.0; width.next_multiple_of(PANEL) * count]];
        for at in 0..count {
            for number in 0..width {
                panels[0][(at / PANEL * width + number) * PANEL + at % PANEL] = keys[at][number];
                panels[1][(number / PANEL * count + at) * PANEL + number % PANEL] = values[at][number];
            }
        }
        let [keys_in_panels, values_in_panels] = &panels;
        let runs: [fn(Attention<'_>); 3] = [|attention| attention.run(), narrower, |attention| attention.with_simd(pulp::Scalar)];
        for run in runs {
            let mut found = vec![f32::NAN; rows * width];
            run(Attention {
                queries: &queries,
                query_stride: width,
                keys: keys_in_panels,
                values: values_in_panels,
                count,
                width,
                output: &mut found,
                output_stride: width,
                rows,
            });
            for (query, found) in queries.chunks(width).zip(found.chunks(width)) {
                assert_close(found, &attention_of(query, &keys, &values), 3e-6);
            }
        }
    }
}

/// Runs with AVX2, in case the processor supports wider vectors.
fn narrower(attention: Attention<'_>) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return pulp::Simd::vectorize(simd, attention);
    }
    attention.run();
}

#[test]
fn cached_attention_matches_attention_of_each_head() {
    for (count, width, heads) in [(1, 4, 2), (5, 12, 1), (19, 24, 3)] {
        let (keys, values, query) = (vectors(count, width, 1), vectors(count, width, 2), numbers(width, 3));
        let mut found = vec![0.0; width];
        attend(&query, &keys.concat(), &values.concat(), heads, &mut found);
        for (head, found) in found.chunks(width / heads).enumerate() {
            let part = |vector: &Vec<f32>| vector[head * width / heads..][..width / heads].to_vec();
            let (keys, values): (Vec<_>, Vec<_>) = (keys.iter().map(part).collect(), values.iter().map(part).collect());
            assert_close(found, &attention_of(&part(&query), &keys, &values), 2e-6);
        }
    }
}
