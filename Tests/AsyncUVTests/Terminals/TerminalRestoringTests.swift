import Testing

/// A shell on a terminal of its own (script(1)), which runs the probe. `stty -g` prints all settings in one word.
private func onTerminal(_ script: String, input: String = "") async throws -> [String] {
    try await onOwnThread {
        // The input of script(1) never ends, so that it types no Control-D.
        let outer = """
            d=$(mktemp -d); cd $d; mkfifo F; exec 3<>F; printf '\(input)' >&3
            P="$0" script -qec '\(script)' /dev/null <&3; rm -r $d
            """
        let program = try ChildProgram("TerminalProbe", shell: outer)
        let end = program.end()
        return end.output.map { $0.filter { $0 != "\r" } }
    }
}

/// Starts the probe in its mode, and waits until that has been set.
private let startRaw = """
    stty -g > before; env --default-signal=INT,QUIT "$P" raw wait & p=$!
    until [ "$(stty -g)" != "$(cat before)" ]; do sleep 0.01; done; stty -g > raw
    """

@Suite struct TerminalRestoringTests {
    @Test(arguments: [("return", 0), ("throw", 1), ("exit", 3), ("crash", 132)])
    func theTerminalIsPutBackHoweverTheProgramEnds(how: String, status: Int) async throws {
        let lines = try await onTerminal(
            """
            stty -g > before; SWIFT_BACKTRACE=enable=no "$P" raw \(how) 2> errors; echo status $?; stty -g > after
            cmp before after && echo same; grep left errors
            """)
        let isCrash = how == "crash"
        // Which of the two signals a trap is depends on the processor.
        #expect(lines.contains("status \(status)") || isCrash && lines.contains("status 133"), "\(lines)")
        #expect(lines.contains("same"), "\(lines)")
        #expect(lines.contains("inside"), "\(lines)")
        if how == "return" { #expect(lines.contains("descriptors left: 0"), "\(lines)") }
    }

    @Test(arguments: [("TERM", 143), ("HUP", 129), ("QUIT", 131), ("INT", 130), ("SEGV", 139), ("ABRT", 134)])
    func theTerminalIsPutBackWhenASignalEndsTheProgram(signal: String, status: Int) async throws {
        let lines = try await onTerminal(
            """
            export SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=handle_segv=0 TSAN_OPTIONS=handle_segv=0; \(startRaw)
            kill -\(signal) $p; wait $p; echo status $?; stty -g > after; cmp before after && echo same
            """)
        #expect(lines.contains("status \(status)"), "\(lines)")
        #expect(lines.contains("same"), "\(lines)")
    }

    /// With job control, as a shell that somebody types at: outside of it SIGTSTP stops nothing.
    @Test func theTerminalIsPutBackWhileTheProgramIsStopped() async throws {
        let lines = try await onTerminal(
            """
            set -m; stty -g > before
            (
                for round in 1 2; do
                    until [ "$(stty -g)" != "$(cat before)" ]; do sleep 0.01; done; stty -g > raw$round
                    kill -TSTP $(cat pid); until [ -e stopped$round ]; do sleep 0.01; done
                done
                until [ "$(stty -g)" != "$(cat before)" ]; do sleep 0.01; done; stty -g > raw3; kill -TERM $(cat pid)
            ) &
            sh -c "echo \\$\\$ > pid; exec \\"\\$P\\" raw wait"
            look() { stty -g > stopped; cmp before stopped && echo stopped: same; touch stopped$1; }
            look 1; fg %+ > fg
            look 2; fg %+ > fg
            echo status $?; stty -g > after; cmp before after && cmp raw1 raw2 && cmp raw2 raw3 && echo same
            """)
        #expect(lines.filter { $0 == "stopped: same" }.count == 2, "\(lines)")
        #expect(lines.contains("status 143") && lines.contains("same"), "\(lines)")
    }

    @Test func standardStreamsOnATerminalAreStreamsAndNothingChangesForTheShell() async throws {
        let lines = try await onTerminal("\"$P\" describe; \"$P\" copy; echo then; cat", input: "hello\\n\\004\\004")
        #expect(lines.contains("terminal terminal terminal"), "\(lines)")
        #expect(lines.contains("non-blocking: [false, false, false]"), "\(lines)")
        #expect(lines.filter { $0 == "hello" }.count == 2, "echoed and copied: \(lines)")
        #expect(lines.last == "then" || lines.contains("then"), "\(lines)")
    }

    @Test func sizesAreToldBySIGWINCH() async throws {
        let lines = try await onTerminal(
            """
            stty cols 80 rows 24; mkfifo S; "$P" sizes > S & exec 4< S; read first <&4; echo $first
            stty cols 100; read second <&4; echo $second; wait
            """)
        #expect(lines.filter { $0.contains("×") } == ["80×24", "100×24"], "\(lines)")
    }
}
