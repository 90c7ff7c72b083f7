! A forward model with an input format of its own. Build it once, before ekp-init:
!
!   gfortran -O2 -o model model.f90
!
! and let experiment.toml say (in place of the `command` and `files` that stand there):
!
!   command   = ["./model"]
!   files     = ["model"]
!   templates = [{ from = "namelist.tmpl", to = "namelist.nml" }]
!   output    = { file = "out.csv", format = "csv", column = "y" }
!
! It runs in a working folder of its own; what it prints goes to log.txt there. `stop 1` makes it a failed
! member; the calibration goes on without it.
program model
  implicit none
  integer, parameter :: dp = kind(1.0d0)
  real(dp) :: slope, offset
  integer :: i, unit
  namelist /parameters/ slope, offset

  open (newunit=unit, file="namelist.nml", status="old", action="read")
  read (unit, nml=parameters)
  close (unit)

  ! Your model here. As many rows as observation.toml has numbers, in its order.
  open (newunit=unit, file="out.csv", action="write")
  write (unit, '(a)') "x,y"
  do i = 0, 4
    write (unit, '(i0, ",", es24.16)') i, offset + slope * i
  end do
  close (unit)
end program model
