//! Which instructions the processor has. Code that is compiled for AVX2 returns the same as the portable version.

/// Returns whether functions may be called that are compiled for `avx2,bmi1,bmi2,lzcnt`, which most processors have.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx2() -> bool {
    std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("lzcnt")
}
