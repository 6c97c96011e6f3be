/// Why bytes are no DNS message, or a text no name: what is wrong, and where.
public struct DNSFormatError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong there.
    public var problem: String
    /// Where, in bytes from the beginning of the message, or of the text.
    public var offset: Int

    public init(_ problem: String, at offset: Int) {
        self.problem = problem
        self.offset = offset
    }

    public var description: String { "\(problem) at byte \(offset)" }
}
