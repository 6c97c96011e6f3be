import ConformanceKit
import Foundation
import Testing

/// Programs with the traces that CPython 3.13's asyncio leaves of them, run here.
@Suite struct ConformanceTests {
    @Test(
        arguments: [
            // Seeds 0 to 149 of each profile of the generator.
            "tasks", "sync", "futures", "ties",
            // Written by hand: what the generator does not reach.
            "special",
        ], [false, true])
    func everyTraceIsAsynciosEntryForEntry(file: String, isolated: Bool) async throws {
        let programs = try Programs.read(file)
        try #require(!programs.isEmpty)
        let comparison = try await onOwnThread {
            var comparison = Comparison(shown: 1)
            for program in programs {
                let expected = try #require(program.expected)
                comparison.add(program.id, expected: expected, actual: try Driver.run(program, isolated: isolated))
            }
            return comparison
        }
        #expect(comparison.isPerfect, "\(comparison.summary)\n\(comparison.differences.first ?? "")")
    }
}

enum Programs {
    static func read(_ file: String) throws -> [Program] {
        let url = try #require(Bundle.module.url(forResource: "Programs/\(file)", withExtension: "jsonl"))
        return try Program.read(Data(contentsOf: url), traces: true)
    }
}

/// A driver runs loops on its thread: not on one of Swift's own pool, which must not be blocked.
func onOwnThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        let thread = Thread { continuation.resume(with: Result { try body() }) }
        thread.stackSize = 1 << 20
        thread.start()
    }
}
