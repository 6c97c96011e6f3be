import Foundation
import Testing

/// What the probe did, as a shell started it.
private func run(_ script: String) async throws -> (output: [String], errors: [String], status: Int32) {
    try await onOwnThread {
        let end = try ChildProgram("TerminalProbe", shell: script).end()
        return (end.output, end.errors.split(separator: "\n").map(String.init), end.status)
    }
}

/// With a named pipe as descriptor 3, by which one part of the script tells the other.
private func withSignal(_ script: String) -> String {
    "d=$(mktemp -d); mkfifo $d/F; exec 3<>$d/F; rm -r $d; \(script)"
}

@Suite struct StandardStreamTests {
    /// 16 MiB, or less where that is slow, and whatever is behind the two ends.
    @Test(arguments: [
        "head -c 16777216 /dev/urandom | tee IN | \"$0\" copy | cat > OUT",
        "head -c 4194304 /dev/urandom > IN; \"$0\" copy < IN > OUT",
        "head -c 4194304 /dev/urandom > IN; \"$0\" copy < IN | cat > OUT",
        "head -c 1000000 /dev/urandom > IN; mkfifo F; cat IN > F & \"$0\" copy < F >> OUT",
        "head -c 1000000 /dev/urandom > IN; mkfifo F; cat F > OUT & \"$0\" copy < IN > F; wait",
        "head -c 1000000 /dev/urandom | tee IN | \"$0\" cancels > OUT",
        "(for n in 1 2 3 4 5 6 7 8 9; do printf %s $n; sleep 0.3; done) | tee IN | \"$0\" cancels > OUT",
        "head -c 300000 /dev/urandom > IN; socat -t 5 EXEC:'\\\"'\"$0\"'\\\" copy' STDIO < IN > OUT",
    ])
    func whateverIsBehindThemTheBytesArrive(script: String) async throws {
        let result = try await run("d=$(mktemp -d); cd $d; \(script); status=$?; cmp IN OUT && wc -c < OUT; rm -r $d; exit $status")
        #expect(result.status == 0, "\(result)")
        #expect(result.output.count == 1 && Int(result.output[0]) ?? 0 > 0, "\(result)")
        #expect(result.errors.contains("descriptors left: 0"), "\(result)")
        if script.contains("sleep") { #expect(result.errors.contains("cancels: true"), "\(result)") }
    }

    @Test func fault34_aReaderThatIsGoneIsAnErrorAndNoSignal() async throws {
        let result = try await run("(\"$0\" flood; echo status $? >&2) | head -n 1")
        #expect(result.output == ["yes"])
        #expect(result.errors.first?.hasPrefix("connection lost: write standard output: ") == true, "\(result)")
        #expect(result.errors.first?.hasSuffix("(EPIPE)") == true, "\(result)")
        #expect(result.errors.last == "status 0")
    }

    @Test func aReaderThatWasGoneBeforeIsAnErrorToo() async throws {
        let result = try await run("(sleep 0.2; \"$0\" flood; echo status $? >&2) | true")
        #expect(result.errors.first?.hasPrefix("connection lost: write standard output: ") == true, "\(result)")
        #expect(result.errors.last == "status 0")
    }

    @Test func aFullDiskIsNamed() async throws {
        let result = try await run("\"$0\" flood > /dev/full")
        #expect(result.errors.first == "system: write standard output: no space left on device (ENOSPC)", "\(result)")
    }

    @Test func whatWasAdmittedIsWrittenWhenTheLoopCloses() async throws {
        let result = try await run("\"$0\" late | (sleep 0.2; wc -c)")
        #expect(result.output == ["2097152"], "\(result)")
        #expect(result.errors == ["descriptors left: 0"])
    }

    @Test func whatNobodyTakesWithinTheGraceIsReported() async throws {
        let result = try await run(withSignal("(\"$0\" stuck; echo $? >&3) | read status <&3"))
        #expect(result.errors.first?.contains("standard output took no more: ") == true, "\(result)")
        #expect(result.status == 0)
    }

    @Test func whatIsLostAtTheEndIsReported() async throws {
        let result = try await run("\"$0\" late | head -c 1")
        #expect(result.errors.first?.contains("what was written last is lost: write standard output") == true, "\(result)")
    }

    @Test func nothingIsChangedForOthersWhoShareThem() async throws {
        let result = try await run("true | \"$0\" describe | cat")
        #expect(result.errors == ["pipe pipe pipe", "non-blocking: [false, false, false]", "descriptors left: 0"])
        let files = try await run("\"$0\" describe < /etc/passwd > /dev/null")
        #expect(files.errors == ["file other pipe", "non-blocking: [false, false, false]", "descriptors left: 0"])
    }

    @Test func closeWriteIsTheEndForTheReader() async throws {
        let result = try await run(withSignal("\"$0\" end <&3 | (cat; echo end >&2; echo go >&3)"))
        #expect(result.output == ["last"])
        #expect(result.errors == ["end", "after the end", "descriptors left: 0"])
    }

    @Test func thereIsOneStreamUntilItIsClosedAndPrintGoesOn() async throws {
        let result = try await run("\"$0\" again | cat")
        #expect(result.output == ["one", "two", "three"])
        #expect(result.errors == ["same: true", "descriptors left: 0"])
    }

    @Test func anotherLoopFindsItBusy() async throws {
        let result = try await run("\"$0\" other")
        #expect(result.errors.first == "busy", "\(result)")
    }

    @Test func aMissingDescriptorLeadsNowhereAndOneThatWasClosedIsNamed() async throws {
        let result = try await run("\"$0\" closed <&-")
        #expect(result.errors.first == "other true", "\(result)")
        #expect(result.errors.dropFirst().first?.hasPrefix("closed: open standard input: ") == true, "\(result)")
        #expect(result.errors.last == "descriptors left: 0", "\(result)")
    }

    @Test func aChildReadsWhatNobodyHasAskedFor() async throws {
        let result = try await run("(\"$0\" describe; cat) < /etc/passwd | cmp - /etc/passwd && echo same")
        #expect(result.output == ["same"], "\(result)")
    }
}
