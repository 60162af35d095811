//! Features of one message, each once, in order of appearance.

/// Features out of `64 * N` indices. Adding takes the same steps for new and for repeated features:
/// which one comes next cannot be predicted, and a wrong prediction costs the processor more than
/// the step.
#[derive(Debug)]
pub(super) struct Distinct<T, const N: usize> {
    seen: Box<[u64; N]>,
    /// The first `count` places are taken.
    places: Vec<T>,
    count: usize,
}

impl<T: Copy + Default, const N: usize> Distinct<T, N> {
    pub(super) fn new() -> Self {
        Self {
            seen: Box::new([0; N]),
            places: vec![T::default(); 1024],
            count: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.seen.fill(0);
        self.count = 0;
    }

    /// Adds `item` unless its `index` was seen. An index out of range is passed over.
    #[inline]
    pub(super) fn add(&mut self, index: u32, item: T) {
        let Some(bits) = self.seen.get_mut(index as usize / 64) else {
            return;
        };
        let bit = 1_u64 << (index % 64);
        let new = *bits & bit == 0;
        *bits |= bit;
        match self.places.get_mut(self.count) {
            Some(place) => *place = item,
            None => self.places.resize(2 * self.places.len(), item),
        }
        self.count += usize::from(new);
    }

    /// Whether `index` was seen.
    #[inline]
    pub(super) fn holds(&self, index: u32) -> bool {
        self.seen
            .get(index as usize / 64)
            .is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    /// The values added, each once, in order.
    pub(super) fn items(&self) -> &[T] {
        self.places.get(..self.count).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_stays_once_in_order_and_many_find_room() {
        let mut few = Distinct::<u32, 1>::new();
        for index in [3, 63, 3, 0, 63, 64, 1000] {
            few.add(index, index * 10);
        }
        assert_eq!(few.items(), [30, 630, 0]);
        assert_eq!(
            [0, 1, 3, 63, 64, 1000].map(|index| few.holds(index)),
            [true, false, true, true, false, false]
        );
        few.clear();
        assert!(few.items().is_empty());
        few.add(63, 7);
        assert_eq!(few.items(), [7]);
        let mut many = Distinct::<u32, 64>::new();
        (0..4096).for_each(|index| many.add(index, index));
        assert!(many.items().iter().copied().eq(0..4096));
    }
}
