! A rod of 200 mm, cold at first, heated at its left end, cold at its right: temperatures after one hour.
!
! Reads rod.nml, writes rod.csv. Explicit differences in time: stable while kappa dt / dx**2 <= 1/2, and where
! they are not the program says so and ends with 3. For the calibration that is a failed member, not an error.
program rod
  implicit none
  integer, parameter :: dp = kind(1.0d0), n = 20
  real(dp), parameter :: dx_mm = 10, dt_s = 20, end_s = 3600
  real(dp) :: kappa_mm2_per_s, heater_c, t_c(0:n), number
  integer :: i, step, unit
  namelist /rod_parameters/ kappa_mm2_per_s, heater_c

  open (newunit=unit, file="rod.nml", status="old", action="read")
  read (unit, nml=rod_parameters)
  close (unit)

  number = kappa_mm2_per_s * dt_s / dx_mm**2
  if (number > 0.5_dp) then
    write (0, '(a, f6.3, a)') "unstable: kappa dt / dx**2 = ", number, ", allowed: at most 0.5"
    stop 3
  end if

  t_c = 10
  do step = 1, nint(end_s / dt_s)
    t_c(0) = heater_c
    t_c(n) = 10
    t_c(1:n-1) = t_c(1:n-1) + number * (t_c(0:n-2) - 2 * t_c(1:n-1) + t_c(2:n))
  end do

  open (newunit=unit, file="rod.csv", action="write")
  write (unit, '(a)') "x_mm,t_c"
  do i = 2, 16, 2
    write (unit, '(f0.1, ",", es24.16)') i * dx_mm, t_c(i)
  end do
  close (unit)
end program rod
