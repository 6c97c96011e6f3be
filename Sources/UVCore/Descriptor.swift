internal import Glibc

/// A file descriptor that has exactly one owner, and is closed when that owner lets go of it.
public struct Descriptor: ~Copyable {
    public let number: Int32

    init(owning number: Int32) { self.number = number }

    // Linux has given the descriptor back whatever close(2) returns: there is nothing to repeat, and nothing that could be done.
    deinit { _ = close(number) }

    /// Gives the descriptor to somebody who closes it.
    consuming func release() -> Int32 {
        let number = number
        discard self
        return number
    }
}
