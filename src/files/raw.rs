//! Doubles as the bytes they are in files.
//!
//! An array is read where it will stay: through a buffer of bytes it would cross memory twice, and tens of megabytes
//! of outputs take longer to copy than to sum up.
//! Belongs here: that view. Not here: which bytes, and whether they are right.

/// Let `read` fill the bytes of `places`, little-endian doubles; after an error they hold rubbish.
///
/// # Errors
/// Those of `read`.
pub(super) fn fill<E>(places: &mut [f64], read: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<(), E> {
    read(bytemuck::cast_slice_mut(places))?;
    if cfg!(target_endian = "big") {
        places.iter_mut().for_each(|x| *x = f64::from_bits(x.to_bits().swap_bytes()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_the_doubles_they_are() {
        let mut places = [0.0; 3];
        fill::<()>(&mut places, |bytes| {
            let numbers = [1.5_f64, -0.0, f64::INFINITY];
            bytes.chunks_exact_mut(8).zip(numbers).for_each(|(to, x)| to.copy_from_slice(&x.to_le_bytes()));
            Ok(())
        })
        .unwrap();
        assert_eq!(places.map(f64::to_bits), [1.5_f64, -0.0, f64::INFINITY].map(f64::to_bits));
    }
}
