//! Features of one message, each once, in order of appearance.

use super::SPACE;

/// Which indices of the space were met. Adding takes the same steps for new and for repeated
/// features: which one comes next cannot be predicted, and a wrong prediction costs the processor
/// more than the step.
#[derive(Debug)]
pub(super) struct Met(Box<[u64]>);

/// The features of one group that were met first.
#[derive(Debug)]
pub(super) struct Distinct<T> {
    /// The first `count` places are taken.
    places: Vec<T>,
    count: usize,
}

impl Default for Met {
    fn default() -> Self {
        Self(vec![0; SPACE / 64].into_boxed_slice())
    }
}

impl Met {
    /// Adds `item` to `list` unless its `index` was met. An index out of range is passed over.
    #[inline]
    pub(super) fn add<T: Copy>(&mut self, list: &mut Distinct<T>, index: u32, item: T) {
        let Some(bits) = self.0.get_mut(index as usize / 64) else {
            return;
        };
        let bit = 1_u64 << (index % 64);
        let new = *bits & bit == 0;
        *bits |= bit;
        match list.places.get_mut(list.count) {
            Some(place) => *place = item,
            None => list.places.resize(2 * list.places.len(), item),
        }
        list.count += usize::from(new);
    }

    /// Whether `index` was met.
    #[inline]
    pub(super) fn holds(&self, index: u32) -> bool {
        self.0
            .get(index as usize / 64)
            .is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    /// Forgets the features of a list, and empties it.
    pub(super) fn forget<T: Copy>(&mut self, list: &mut Distinct<T>, index: impl Fn(T) -> u32) {
        for item in list.items() {
            if let Some(bits) = self.0.get_mut(index(*item) as usize / 64) {
                *bits = 0;
            }
        }
        list.count = 0;
    }
}

impl<T: Copy + Default> Default for Distinct<T> {
    fn default() -> Self {
        Self {
            places: vec![T::default(); 1024],
            count: 0,
        }
    }
}

impl<T> Distinct<T> {
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
        let (mut met, mut few) = (Met::default(), Distinct::<u32>::default());
        let beyond = SPACE as u32;
        for index in [3, 63, 3, 0, 63, 64, beyond] {
            met.add(&mut few, index, index * 10);
        }
        assert_eq!(few.items(), [30, 630, 0, 640]);
        assert_eq!(
            [0, 1, 3, 63, 64, beyond].map(|index| met.holds(index)),
            [true, false, true, true, true, false]
        );
        let mut other = Distinct::<u32>::default();
        met.add(&mut other, 63, 1);
        assert!(other.items().is_empty(), "groups share the space");
        met.forget(&mut few, |item| item / 10);
        assert!(few.items().is_empty() && ![0, 3, 63, 64].into_iter().any(|i| met.holds(i)));
        met.add(&mut few, 63, 7);
        assert_eq!(few.items(), [7]);
        let mut many = Distinct::<u32>::default();
        (100..4196).for_each(|index| met.add(&mut many, index, index));
        assert!(many.items().iter().copied().eq(100..4196));
    }
}
