;; Sleeps 20 times for 10 ms, writing a byte each time; runs on without end if its body begins with "!".
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\n\n.")
  ;; 16: one vector for the head, 24: for a dot, 32: for the body
  (data (i32.const 16) "\00\00\00\00\02\00\00\00\02\00\00\00\01\00\00\00\80\00\00\00\01\00\00\00")
  (func $dot (drop (call $write (i32.const 1) (i32.const 24) (i32.const 1) (i32.const 60))))
  (func (export "_start")
    (local $left i32)
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 60)))
    (i64.store (i32.const 256) (i64.const 7))        ;; user data
    (i32.store8 (i32.const 264) (i32.const 0))       ;; a clock
    (i32.store (i32.const 272) (i32.const 1))        ;; the monotonic one
    (i64.store (i32.const 280) (i64.const 10000000)) ;; 10 ms
    (local.set $left (i32.const 20))
    (loop $again
      (if (i32.ne (call $poll (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 60)) (i32.const 0))
        (then unreachable))
      (if (i64.ne (i64.load (i32.const 512)) (i64.const 7)) (then unreachable))
      (if (i32.ne (i32.load (i32.const 60)) (i32.const 1)) (then unreachable))
      (call $dot)
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $again (local.get $left)))
    (drop (call $read (i32.const 0) (i32.const 32) (i32.const 1) (i32.const 60)))
    (if (i32.eq (i32.load8_u (i32.const 128)) (i32.const 33))
      (then (loop $for_ever (br $for_ever))))))
