internal import UVCore

/// Looks for the first of several separators in bytes that grow: what was searched is not searched again.
struct SeparatorSearch {
    private let separators: [[UInt8]]
    private let longest: Int
    private var searched = 0

    /// Nil unless there is at least one separator, and none of them is empty.
    init?(_ separators: [[UInt8]]) {
        guard let longest = separators.map(\.count).max(), !separators.contains(where: \.isEmpty) else { return nil }
        self.separators = separators
        self.longest = longest
    }

    /// The separator that ends first, the longer one if two end together. Nil if `bytes`, which begin with what was searched before, hold none.
    mutating func first(in bytes: Span<UInt8>) -> Range<Int>? {
        // One may have begun in what was there before.
        let from = max(0, searched - longest + 1)
        var best: Range<Int>?
        for separator in separators {
            // What ends later than the best is of no interest.
            let part = bytes.extracting(0..<(best?.upperBound ?? bytes.count))
            guard let start = Bytes.firstIndex(of: separator.span, in: part, from: from) else { continue }
            let found = start..<(start + separator.count)
            if let best, best.upperBound < found.upperBound || best.lowerBound <= found.lowerBound && best.upperBound == found.upperBound { continue }
            best = found
        }
        searched = bytes.count
        return best
    }

    /// In so many bytes any separator that begins within the limit would have been found.
    func isOver(_ limit: Int, _ count: Int) -> Bool { count >= limit + longest }
}
