import Testing
import UVCore
@testable import AsyncUV

@Suite struct SeparatorSearchTests {
    private func first(_ separators: [String], _ text: String) -> Range<Int>? {
        var search = SeparatorSearch(separators.map { Array($0.utf8) })
        return search?.first(in: Array(text.utf8).span)
    }

    @Test func theOneThatEndsFirstIsFound() {
        #expect(first(["\n"], "one\ntwo\n") == 3..<4)
        #expect(first(["\r\n", "\n"], "one\r\n") == 3..<5)
        #expect(first(["longer", "ng"], "a longer one") == 4..<6)
        #expect(first(["x", "y"], "nothing") == nil)
        #expect(first(["end"], "the end") == 4..<7)
    }

    @Test func noneAndEmptyOnesAreRefused() {
        #expect(SeparatorSearch([]) == nil)
        #expect(SeparatorSearch([[1], []]) == nil)
    }

    @Test func whatIsCutAnywhereIsFoundAllTheSame() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            let text = (0..<40).map { _ in UInt8.random(in: 0..<3, using: &random) }
            let separators = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                (0..<Int.random(in: 1...4, using: &random)).map { _ in UInt8.random(in: 0..<3, using: &random) }
            }
            guard var grown = SeparatorSearch(separators) else { continue }
            // The plain way: every end, from the first on, and the longest that ends there.
            var expected: Range<Int>?
            search: for end in 1...text.count {
                for separator in separators.sorted(by: { $0.count > $1.count }) where separator.count <= end {
                    if Array(text[(end - separator.count)..<end]) == separator {
                        expected = (end - separator.count)..<end
                        break search
                    }
                }
            }
            var found: Range<Int>?
            var count = 0
            while found == nil && count < text.count {
                count = min(text.count, count + Int.random(in: 1...7, using: &random))
                found = grown.first(in: Array(text[..<count]).span)
            }
            #expect(found == expected, "\(separators) in \(text)")
        }
    }
}

@Suite struct ReadUntilTests {
    @Test func entry113_readUntilTakesUpToTheSeparatorAndLeavesTheRest() async throws {
        try await withPair { near, far in
            try await far.write("one\r\ntwo;rest".utf8)
            #expect(try await near.read(until: Array("\r\n".utf8)) == Array("one\r\n".utf8))
            #expect(try await near.read(untilAnyOf: [[0x2C], [0x3B]]) == Array("two;".utf8))
            #expect(try await near.read() == Array("rest".utf8))
        }
    }

    @Test func aSeparatorThatComesInPiecesIsFound() async throws {
        try await withPair { near, far in
            let reader = LoopTask { try await near.read(until: Array("--end--".utf8)) }
            for byte in "some -- text --end-".utf8 {
                try await far.write([byte])
                try await LoopTask.yield()
                #expect(!reader.isDone)
            }
            try await far.write("-more".utf8)
            #expect(try await reader.value == Array("some -- text --end--".utf8))
            #expect(try await near.read() == Array("more".utf8))
        }
    }

    @Test func entry113_theEndBeforeTheSeparatorIsAnErrorAndLeavesTheBytes() async throws {
        try await withPair { near, far in
            try await far.write("partial".utf8)
            try await far.close()
            await expectCode(.unexpectedEnd) { try await near.read(until: [0x0A]) }
            #expect(try await near.read() == Array("partial".utf8))
            #expect(try await near.read(until: [0x0A]) == nil)
        }
    }

    @Test func entry113_theLimitLeavesTheBytes() async throws {
        try await withPair { near, far in
            try await far.write("12345\n".utf8)
            await expectCode(.limitExceeded) { try await near.read(until: [0x0A], limit: 4) }
            #expect(try await near.read(until: [0x0A], limit: 5) == Array("12345\n".utf8))
            try await far.write("123456".utf8)
            await expectCode(.limitExceeded) { try await near.read(until: [0x0A], limit: 5) }
            #expect(try await near.read() == Array("123456".utf8))
        }
    }

    @Test func cancelDuringReadUntilLosesNothing() async throws {
        try await withPair { near, far in
            let reader = LoopTask { try await near.readLine() }
            try await until { reader.isWaiting }
            try await far.write("half ".utf8)
            try await until { near.core.available == 5 }
            reader.cancel()
            await #expect(throws: CancelledError.self) { try await reader.value }
            try await far.write("a line\n".utf8)
            #expect(try await near.readLine() == "half a line")
        }
    }

    @Test func closeDuringReadUntilEndsIt() async throws {
        try await withPair { near, _ in
            let reader = LoopTask { try await near.readLine() }
            try await until { reader.isWaiting }
            try await near.close()
            await expectCode(.closed) { try await reader.value }
        }
    }

    @Test func aConnectionThatIsLostInTheMiddleOfALineSaysSo() async throws {
        try await withPair { near, far in
            try await far.write("half a line".utf8)
            #expect(try await near.withBytes { _ in 0 } == 0)
            far.abort()
            await expectCode(.connectionLost) { try await near.readLine() }
        }
    }

    @Test func linesComeWithoutTheirEndsAndTheLastOneNeedsNone() async throws {
        try await withPair { near, far in
            try await far.write("one\r\n\ntwo \u{e9}\nlast\r".utf8)
            try await far.close()
            var lines: [String] = []
            for try await line in near.lines() { lines.append(line) }
            #expect(lines == ["one", "", "two \u{e9}", "last\r"])
        }
    }

    @Test func whatIsNotUTF8IsMarked() async throws {
        try await withPair { near, far in
            try await far.write([0x61, 0xFF, 0x0A])
            #expect(try await near.readLine() == "a\u{FFFD}")
        }
    }

    @Test func fault45_aLineWithoutEndIsRefusedBeforeItTakesMemory() async throws {
        try await withPair { near, far in
            let sender = LoopTask { try await far.write([UInt8](repeating: 0x61, count: 8 << 20)) }
            await expectCode(.limitExceeded) { try await near.readLine(limit: 10_000) }
            #expect(near.core.input?.capacity == 65_536)
            await expectCode(.limitExceeded) { try await near.readLine(limit: 100_000) }
            #expect((near.core.input?.capacity ?? 0) <= 2 * 131_072)
            far.abort()
            await #expect(throws: LoopError.self) { try await sender.value }
        }
    }

    @Test func readToEndTakesAllOrNothing() async throws {
        try await withPair { near, far in
            let sent = counted(0..<300_000)
            let sender = LoopTask {
                try await far.write(sent)
                try far.closeWrite()
            }
            #expect(try await near.readToEnd(limit: 300_000) == sent)
            #expect(try await near.readToEnd(limit: 0) == [])
            try await sender.value
        }
        try await withPair { near, far in
            try await far.write([1, 2, 3])
            await expectCode(.limitExceeded) { try await near.readToEnd(limit: 2) }
            try await far.close()
            #expect(try await near.readToEnd(limit: 3) == [1, 2, 3])
        }
    }

    @Test func aPlainTaskReadsLinesToo() async throws {
        try await withPair { near, far in
            try await far.write("one\ntwo\n".utf8)
            let lines = try await Task {
                [try await near.readLine(), try await near.read(until: [0x0A]).map { String(decoding: $0, as: UTF8.self) }]
            }.value
            #expect(lines == ["one", "two\n"])
        }
    }

    @Test func badSeparatorsAndLimitsAreErrors() async throws {
        try await withPair { near, _ in
            await expectCode(.misuse) { try await near.read(until: []) }
            await expectCode(.misuse) { try await near.read(untilAnyOf: []) }
            await expectCode(.misuse) { try await near.readLine(limit: -1) }
            await expectCode(.misuse) { try await near.readToEnd(limit: -1) }
        }
    }

    @Test func linesThatComeOneByteAtATimeAreRead() async throws {
        try await withPair { near, far in
            let text = (0..<50).map { "line \($0)" }
            let sender = LoopTask {
                for byte in (text.joined(separator: "\n") + "\n").utf8 {
                    try await far.write([byte])
                    try await far.flush()
                }
                try await far.close()
            }
            var lines: [String] = []
            for try await line in near.lines(limit: 7) { lines.append(line) }
            #expect(lines == text)
            try await sender.value
        }
    }
}

@Suite struct CopyStreamTests {
    @Test func copyCarriesAllAndTheEndIsTheCallers() async throws {
        try await withPair { near, far in
            let (left, right) = try await connectedPair()
            let sent = counted(0..<3_000_000)
            let sender = LoopTask {
                try await far.write(sent)
                try far.closeWrite()
            }
            let copier = LoopTask {
                let count = try await near.copy(to: left)
                try left.closeWrite()
                return count
            }
            #expect(try await right.readAll() == sent)
            #expect(try await copier.value == sent.count)
            try await sender.value
            left.abort()
            right.abort()
        }
    }

    @Test func aSlowTargetHoldsTheCopyBack() async throws {
        try await withPair { near, far in
            let (left, right) = try await connectedPair()
            let sent = Shared<[UInt8]>([])
            let writer = try await far.fillUp(sent)
            let copier = LoopTask { try await near.copy(to: left) }
            try await until { copier.isWaiting && left.pendingBytes > 0 }
            // What is held here is bounded, however much is sent: one buffer to read, one to write.
            for _ in 0..<200 { try await LoopTask.yield() }
            #expect(near.core.available <= 65_536 && left.pendingBytes <= 65_536)
            copier.cancel()
            writer.cancel()
            await #expect(throws: CancelledError.self) { _ = try await copier.value }
            await #expect(throws: CancelledError.self) { try await writer.value }
            left.abort()
            right.abort()
        }
    }

    @Test func partsGoAsOne() async throws {
        try await withPair { near, far in
            try await far.write(parts: [[1, 2], [], [3], Array(4...9)])
            #expect(try await near.read() == Array(1...9))
        }
    }

    @Test func tryWriteTakesAllOrNothing() async throws {
        try await withPair { near, far in
            #expect(try far.tryWrite([1, 2, 3].span))
            #expect(try await near.read() == [1, 2, 3])
            let sent = Shared<[UInt8]>([])
            let writer = try await far.fillUp(sent)
            #expect(try !far.tryWrite([UInt8](repeating: 7, count: 60_000).span))
            writer.cancel()
            await #expect(throws: CancelledError.self) { try await writer.value }
            near.abort()
        }
    }
}
